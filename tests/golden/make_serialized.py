"""Makes the files in ``serialized/``. Run by an interpreter that has the published package, Python 3.11::

    python tests/golden/make_serialized.py

One file per strategy, named after its class; a packed list; and the whole text of a task. What is in them is defined
here, and the tests read it from here as well.
"""

import base64
import pickle
from pathlib import Path

FOLDER = Path(__file__).with_name("serialized")

#: text outside of ASCII, all that JSON cannot say, and enough to need several lines of base64
VALUE = (1, -2.5, None, True, "Ärger ☃ 𝄞", b"\x00\xff" * 60, [{"k": (1, 2)}, set()])

#: the same in JSON and elsewhere
PLAIN = {"text": "Ärger ☃ 𝄞", "list": [1, 2.5, None, True]}

ARGS, KWARGS = (3,), {"y": "é"}


def combine(x, y=2):
    """Returns text: "a: b" - with colons, é, and with characters outside of ASCII."""
    joined = f"{x}:{y}"
    return joined + "É".lower()


def make():
    from globus_compute_sdk.serialize import concretes

    for name in ("DillCode", "DillCodeTextInspect", "DillCodeSource", "PureSourceTextInspect", "PureSourceDill",
                 "CombinedCode", "AllCodeStrategies"):  # fmt: skip
        write(name, getattr(concretes, name)().serialize(combine))
    write("PickleCode", "02\n" + base64.encodebytes(pickle.dumps(base64.b64encode)).decode())
    concretes.PickleCode().deserialize((FOLDER / "PickleCode.txt").read_text())
    write("DillDataBase64", concretes.DillDataBase64().serialize(VALUE))
    write("JSONData", concretes.JSONData().serialize(PLAIN))
    write("AllDataStrategies", concretes.AllDataStrategies().serialize(PLAIN))

    from globus_compute_sdk.serialize import ComputeSerializer

    serializer = ComputeSerializer(strategy_code=concretes.PureSourceTextInspect())
    parts = [serializer.serialize(part) for part in (combine, ARGS, KWARGS)]
    write("task_buffer", serializer.pack_buffers(parts))
    write("packed_buffers", serializer.pack_buffers(["", "é", "11\n[1]", "𝄞\n\n", "3\nabc"]))


def write(name, text):
    (FOLDER / f"{name}.txt").write_bytes(text.encode())


if __name__ == "__main__":
    make()
