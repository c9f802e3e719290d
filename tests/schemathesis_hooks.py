"""Hooks of schemathesis: values of the formats that the schema of the server names.

A JSON schema cannot say that a name is printable, nor which items of a catalogue are questions. The tests of the server
send the others: names that are not printable or dots alone, and items of the other type.
"""

import schemathesis
from hypothesis import strategies as st
from served import CATALOGUE

IDS = {item["id"]: item.get("type", "question") for item in CATALOGUE}
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256)
ITEMS = TEXTS.filter(lambda text: text not in IDS)

schemathesis.openapi.format("printable", TEXTS.filter(lambda text: text.isprintable() and text not in (".", "..")))
for kind in ("question", "content"):
    own = [name for name, its_kind in IDS.items() if its_kind == kind]
    schemathesis.openapi.format(kind, st.sampled_from(own) | ITEMS)
