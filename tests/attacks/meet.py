"""Meet every hostile file in this folder's ``case``s, under an audit hook, and print what came of each as JSON lines.

Run in a process of its own, with the folder as its argument: an audit hook cannot be taken off again.
"""

import json
import os
import sys
import time
from pathlib import Path

FORBIDDEN = (
    "socket.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "ctypes.dlopen",
    "ftplib",
    "urllib",
    "webbrowser",
)
seen: list[str] = []
watching = False


def hook(event, args):
    if not watching:
        return
    if event.startswith(FORBIDDEN):
        seen.append(f"{event} {args!r:.200}")
    elif event == "subprocess.Popen":
        words = list(map(str, args[1]))
        if words[1:2] != ["-I"] or not words[2].endswith("support/trial.py"):
            seen.append(f"{event} {words!r:.200}")
    elif event == "open" and isinstance(args[0], str | bytes | os.PathLike):
        mode, flags = args[1] or "", args[2] or 0
        if any(m in str(mode) for m in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            path = os.path.abspath(os.fsdecode(args[0]))
            if not path.startswith((os.getcwd(), "/dev/null", "/dev/shm")):
                seen.append(f"write {path}")
        elif os.fsdecode(args[0]) == "/etc/passwd":
            seen.append("read /etc/passwd")
    elif event in ("os.remove", "os.rename", "os.rmdir", "shutil.rmtree", "os.chmod", "os.symlink"):
        path = os.path.abspath(os.fsdecode(args[0])) if args and isinstance(args[0], str | bytes | os.PathLike) else "?"
        if not path.startswith(os.getcwd()):
            seen.append(f"{event} {path}")
    elif event == "import" and args[0] == "evil":
        seen.append("import evil")


def main():
    global watching
    import torch
    from torch import nn

    import modelstitch as ms
    from modelstitch.data.readers.tables import read_labels, read_table
    from modelstitch.models.weights import load_weights
    from modelstitch.stitched.stitched import Stitched
    from modelstitch.study.run import run  # noqa: F401 - what a study would load later
    from modelstitch.study.spec import load_spec

    torch.set_num_threads(1)
    os.chdir(sys.argv[1])

    def table(path):
        frame = read_table(path, ["text", "label"])
        read_labels([(frame["label"], path)])

    readers = {
        "weights": lambda path: load_weights(nn.Linear(2, 2), path, name="net"),
        "specs": load_spec,
        "tables": table,
        "stitches": lambda path: Stitched.load(path.parent),
        "cards": lambda path: ms.load(f"file:{path.parent}"),
        "tokenizers": lambda path: ms.load_data("text:t.txt", tokenizer=path.parent),
        "folders": lambda path: ms.load(f"hf:{path.parent}"),
    }
    sys.addaudithook(hook)
    for path in sorted(Path.cwd().glob("*/*/*")):
        kind = path.parent.parent.name
        if kind not in readers or path.name.startswith("beside"):
            continue
        seen.clear()
        begun, watching = time.process_time(), True
        try:
            readers[kind](path)
            came = "read"
        except ms.StitchError as error:
            came = f"refused: {error}"
        except BaseException as error:
            came = f"foreign: {type(error).__name__}: {error}"
        watching = False
        took = time.process_time() - begun
        print(
            json.dumps({"case": f"{kind}/{path.parent.name}", "came": came, "took": took, "seen": list(seen)}),
            flush=True,
        )


main()
