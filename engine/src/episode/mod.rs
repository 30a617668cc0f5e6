//! Episodes on paper: what was said, token for token, who said it under which weights, and what it earned.

mod archive;
mod record;
mod segment;

pub use archive::{ArchiveError, read, write};
pub(crate) use record::FORMAT;
pub use record::{EpisodeRecord, FaultKind, FaultRecord, Fork, RecordError, RewardStreams, TermRecord, TurnRecord};
pub use segment::{Segment, SegmentError, Span, SpanKind};
