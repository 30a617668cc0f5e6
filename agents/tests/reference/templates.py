"""Chat templates that use what published ones use, rendered as transformers renders them.

Writes ../fixtures/templates.json. Made with transformers 5.23.0, Jinja2 3.1.6; run: python templates.py
"""

import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

TOOLS = [{"type": "function", "function": {"name": "f", "description": "<b> & 'c'", "parameters": {"type": "object"}}}]
USER = {"role": "user", "content": "  Hi there \n"}
REPLY = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello"}

CASES = [
    # Llama 3: set, trim, filters, the token names, loop variables.
    ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start|>' + message['role'] "
     "+ '\n\n' + message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
     "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n\n' }}{% endif %}",
     [USER, REPLY]),
    # Blocks on lines of their own, with indentation and dashes.
    ("{%- for message in messages %}\n    {%- if message.role == 'user' %}\n        {{- '[U] ' + message.content.strip() }}\n"
     "    {%- else %}\n        {{- '[A] ' + message.content }}\n    {%- endif %}\n  {% endfor %}\nend\n", [USER, REPLY]),
    # Qwen3: namespaces, slices, reversed lists, Python string methods, tests.
    ("{%- set ns = namespace(multi=true, last=messages|length - 1) %}\n{%- for message in messages[::-1] %}\n"
     "{%- set index = (messages|length - 1) - loop.index0 %}\n{%- if ns.multi and message.role == 'user' and message.content "
     "is string and not(message.content.startswith('<tool')) %}\n{%- set ns.multi = false %}\n{%- set ns.last = index %}\n"
     "{%- endif %}\n{%- endfor %}\n{{- ns.last }} {% for m in messages %}{% if '</think>' in m.content %}"
     "{{ m.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}|"
     "{{ m.content.split('</think>')[-1].lstrip('\n') }}{% endif %}{% endfor %}", [USER, REPLY]),
    # Tools through tojson, plain and indented.
    ("{% if tools is not none and tools %}{% for tool in tools %}{{ tool | tojson }}\n{{ tool | tojson(indent=4) }}{% endfor %}"
     "{% else %}no tools{% endif %}", [USER]),
    # Values as Python prints them; undefined names; defaults.
    ("{{ none }} {{ true }} {{ missing }} {{ missing is defined }} {{ documents is none }} {{ 3 / 2 }} {{ 7 // 2 }} "
     "{{ 'a' ~ 1 }} {{ missing | default('d') }}", [USER]),
    # Macros, mappings, dictionary methods, continue.
    ("{% macro field(key, value) %}{{ key }}={{ value }};{% endmacro %}{% for message in messages %}{% if message.role == "
     "'assistant' %}{% continue %}{% endif %}{% for key, value in message.items() %}{{ field(key, value | trim) }}{% endfor %}"
     "{{ message.get('name', 'anon') }}{{ message is mapping }}{% endfor %}", [USER, REPLY]),
    # Spans marked for training.
    ("{% for message in messages %}\n{% if message.role == 'assistant' %}\n{% generation %}\n{{ message.content }}\n"
     "{% endgeneration %}\n{%- generation -%}  x  {%- endgeneration -%}\n{% endif %}\n{% endfor %}", [USER, REPLY]),
    # Filters.
    ("{{ messages | map(attribute='role') | join(', ') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} "
     "{{ messages | last | length }} {{ 'abc' | upper }} {{ 'x' | replace('x', 'y') }} {{ (messages | first).role.title() }}",
     [USER, REPLY]),
]


def main():
    cases = []
    for template, messages in CASES:
        for tools in (None, TOOLS):
            rendered, _ = render_jinja_template(
                conversations=[messages], tools=tools, chat_template=template, add_generation_prompt=True,
                bos_token="<s>", eos_token="</s>")
            cases.append(dict(template=template, messages=messages, tools=tools, rendered=rendered[0]))
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "templates.json"
    path.write_text(json.dumps(cases) + "\n")


main()
