"""Reads a folder of event files as TensorBoard does, and prints what is in it as JSON.

Usage: python tensorboard_events.py FOLDER; ends with 77 where tensorboard is missing (tested with 2.21.0).
"""

import json
import sys

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(77)

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0, "histograms": 0})
events.Reload()
tags = events.Tags()
read = {
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "texts": {
        tag: [[e.step, make_ndarray(e.tensor_proto).item().decode()] for e in events.Tensors(tag)]
        for tag in tags["tensors"]
    },
    "histograms": {
        tag: [[e.step, e.histogram_value.num, list(e.histogram_value.bucket)] for e in events.Histograms(tag)]
        for tag in tags["histograms"]
    },
}
json.dump(read, sys.stdout)
