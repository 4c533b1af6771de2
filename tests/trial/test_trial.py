"""What a stranger does wrongly, each answered by one sentence: what, expected, found, what to try. Nothing is lost.

``docs/trial.md`` tells of it. A case is what was typed, or called, and words of the answer.
"""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

import modelstitch as ms
from commands import run
from modelstitch.models import load as registered

NETS = """
import torch
from torch import nn
from beside import net

X = torch.zeros(2, 1, 8, 8)
def mlp(): return net(16), X
def other(): return net(24), X
def five(): return net(16, 5), X
def wide(): return net(16, 10, 192), torch.zeros(2, 3, 8, 8)
def needs(x): return net(16), X
def nothing(): return None
def fails(): raise ValueError("my own fault")
def double(): return net(16).double(), X
class Dropping(nn.Module):
    def forward(self, x): return nn.functional.dropout(x.flatten(1), 0.5, training=True)
def dropping(): return Dropping(), X
def nan():
    found = net(16)
    found[1].weight.data[0, 0] = float("nan")
    return found, X
"""
BESIDE = """
from torch import nn
def net(width, classes=10, inputs=64):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))
"""
DONORS = """
[donors]
a = {model = "import:mlp", weights = "good.pt"}
b = {model = "import:mlp", weights = "good.safetensors"}
"""


def mlp(width=16):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def pictures(folder, classes, n=12):
    for c in classes:
        (folder / c).mkdir(parents=True)
        for i in range(n):
            Image.new("L", (8, 8), 9 * i).save(folder / c / f"{i}.png")


def language_models(root):
    """A tiny Llama with its tokenizer, one of another tongue, and one whose tokenizer was not saved."""
    words = ["a", "b", "c", "d", "e", "f", "g"]
    (root / "words.txt").write_text(" ".join(words[i * i % 7] for i in range(2000)))
    for name, known in {"llama": words, "tongue": words[:3], "mute": None}.items():
        torch.manual_seed(0)
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = transformers.LlamaConfig(**sizes, vocab_size=9, max_position_embeddings=64)
        transformers.LlamaForCausalLM(config).save_pretrained(root / name)
        if known is not None:
            inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["?", *known])}, unk_token="?"))
            inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="?").save_pretrained(root / name)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A stranger's folder: her networks, weights, pictures, tables, studies, and one finished comparison."""
    root = tmp_path_factory.mktemp("stranger")
    (root / "nets.py").write_text(NETS)
    (root / "beside.py").write_text(BESIDE)
    (root / "broken.py").write_text("def x(:\n")
    (root / "lacking.py").write_text("import no_such_package\n")
    (root / "notes.txt").write_text("hello")
    state = mlp().state_dict()
    torch.save(state, root / "good.pt")
    save_file(state, root / "good.safetensors")
    for name in ("good.pt", "good.safetensors"):
        whole = (root / name).read_bytes()
        (root / f"short-{name}").write_bytes(whole[: len(whole) // 2])
    (root / "empty.pt").write_bytes(b"")
    torch.save(mlp(), root / "whole.pt")
    torch.save(mlp(24).state_dict(), root / "swapped.pt")
    torch.save({"epoch": 3}, root / "epoch.pt")
    torch.save({k: v for k, v in state.items() if k != "3.bias"}, root / "lacking.pt")
    torch.save({**state, "1.weight": torch.full((16, 64), torch.nan)}, root / "nan.pt")
    pictures(root / "photos", ["cat", "dog"])
    pictures(root / "one class", ["cat"])
    pictures(root / "flat" / "deep", ["cat"])
    (root / "hollow").mkdir()
    pictures(root / "damaged", ["cat", "dog"])
    (root / "damaged" / "cat" / "3.png").write_bytes(b"\x89PNG")
    pictures(root / "sizes", ["cat", "dog"])
    Image.new("L", (9, 13)).save(root / "sizes" / "cat" / "3.png")
    pictures(root / "few", ["cat", "dog"], n=1)
    (root / "hdr" / "a").mkdir(parents=True)
    (root / "hdr" / "b").mkdir()
    for c in "ab":
        for i in range(6):
            Image.fromarray(np.full((8, 8), np.nan if i == 3 else 0.5, np.float32)).save(root / "hdr" / c / f"{i}.tiff")
    pl.DataFrame({"text": ["a b", "c d"] * 30, "label": [0, 1] * 30}).write_parquet(root / "rows.parquet")
    (root / "short.parquet").write_bytes((root / "rows.parquet").read_bytes()[:200])
    (root / "table.csv").write_text("x,y\n1,2\n")
    (root / "syntax.toml").write_text("donors = [\n")
    (root / "nothing.toml").write_text("")
    (root / "latin.toml").write_bytes('name = "é"\n'.encode("latin1"))
    grids = {
        "layer": ("layer = ['1']", ""),
        "pairs": ("pairs = [['a', 'c']]", ""),
        "seeds": ("seeds = '0'", ""),
        "objective": ("objectives = ['mach']", ""),
        "step": ("", "[fit]\nstep = 3\n"),
        "text-steps": ("", "[fit]\nsteps = '3'\n"),
    }
    for name, (before, behind) in grids.items():
        (root / f"{name}.toml").write_text(f'name = "x"\ndata = "digits"\n{before}\n{DONORS}{behind}')
    for name, shape in {"old": (50, 6), "new": (50, 4), "fewer": (40, 4), "line": (50,)}.items():
        np.save(root / f"{name}.npy", np.random.default_rng(0).normal(size=shape))
    (root / "fake.npy").write_text("hello")
    np.save(root / "gap.npy", np.where(np.arange(300).reshape(50, 6) == 7, np.nan, 1.0))
    language_models(root)
    before, here = os.getcwd(), dict(registered._imported)
    os.chdir(root)
    ms.models.register("nets.py")
    data = ms.load_data("digits", limit=100)
    nets = [ms.load("import:mlp", weights=name, name=name[5:]) for name in ("good.pt", "good.safetensors")]
    ms.compare(*nets, data=data, objective="match", controls=(), both=False, out="runs/a")
    yield root
    os.chdir(before)
    registered._imported.clear()
    registered._imported.update(here)


def everything(root: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in root.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    return {str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


SEAM = "stitch import:mlp@1 import:mlp@1 --objective match --limit 100"
WEIGHTS = "--bottom-weights good.pt --top-weights good.safetensors"
PAIR = f"compare import:mlp import:mlp --objective match --limit 100 {WEIGHTS}"
TYPED = {
    # words that are none
    "stich a b": "No such command 'stich': did you mean 'stitch'",
    "--hlep": "Did you mean '--help'",
    "compare import:mlp": "Missing argument 'TOP'",
    f"{SEAM} --lr 0.1": "did you mean --learning-rate",
    f"{SEAM} --objetive match": "did you mean --objective",
    f"{SEAM} --banana": "--help lists all",
    f"{SEAM} --family afine": "FAMILIES['afine'] = its class; did you mean 'affine'",
    f"{PAIR} --control randm": "'randm' is not one of 'self'",
    f"{SEAM} --steps 1e3": "'1e3' is not a valid integer",
    f"{SEAM} --batch-size 0": "0 is not in the range x>=1",
    f"{SEAM} --seed -1": "-1 is not in the range x>=0",
    f"{SEAM} --device gpu": "The device 'gpu' cannot be used: expected 'cpu', 'cuda' or 'auto'",
    "stitch import:mlp@1 import:mlp@1 --family low-rank:x": "expected a whole number (rank) after the colon, found 'x'",
    # layers and networks
    "stitch import:mlp@5 import:mlp@1": "has no layer '5': see Network.layers, or `modelstitch layers` (it has '0'",
    "stitch import:mlp import:mlp@1": "names no layer: expected MODEL@LAYER",
    f"{PAIR} --layers 7": "has no exact cut '7': see `modelstitch layers` (it has '1'",
    "layers import:mlpp": "No imported function is called 'mlpp': did you mean 'mlp'",
    "layers mlp": "write 'import:mlp' for the function of your file",
    "layers nets.py": "name both, --import FILE.py import:FUNCTION",
    "layers good.pt": "expected what the weights belong to",
    "layers photos": "the folder holds no card.json",
    "layers resnet18": "The model 'resnet18' is unknown: expected zoo:..., file:..., timm:...",
    "layers tim:resnet18": "did you mean 'timm:resnet18'",
    "layers zoo:smal-resnet": "did you mean 'small-resnet'",
    "layers hf:nowhere": "expected a local folder with config.json",
    "layers x --import nowhere.py": "File 'nowhere.py' does not exist",
    "layers x --import broken.py": "broken.py cannot be imported (SyntaxError: invalid syntax (broken.py, line 1)",
    "layers x --import lacking.py": "(ModuleNotFoundError: No module named 'no_such_package', lacking.py:1)",
    "layers x --import notes.txt": "expected a Python file",
    "stitch import:needs@1 import:mlp@1": "missing 1 required positional argument: 'x'",
    "stitch import:nothing@1 import:mlp@1": "returns NoneType: expected a module",
    "stitch import:fails@1 import:mlp@1": "fails (ValueError: my own fault, nets.py:13): mend it",
    "stitch import:wide@1 import:mlp@1": "expected samples (3, 8, 8) of float32",
    "stitch import:mlp@1 import:five@1": "A label is 9, the network has 5 outputs: expected labels from 0 to 4",
    "stitch import:dropping@1 import:mlp@1": "draws random numbers in eval mode",
    "stitch import:double@1 import:mlp@1": "must have the same dtype, but got Float and Double",
    "stitch import:nan@1 import:mlp@1 --objective match --limit 100": "hold NaN or infinity, first for the sample",
    # weights
    f"{SEAM} --bottom-weights nowhere.pt": "There is no weights file 'nowhere.pt'",
    f"{SEAM} --bottom-weights short-good.pt": "failed finding central directory): expected a whole .safetensors file",
    f"{SEAM} --bottom-weights short-good.safetensors": "it may be cut short, fetch it again",
    f"{SEAM} --bottom-weights empty.pt": "it may be cut short, fetch it again",
    f"{SEAM} --bottom-weights notes.txt": "found other content, b'hello'",
    f"{SEAM} --bottom-weights whole.pt": "save them again with torch.save(model.state_dict())",
    f"{SEAM} --bottom-weights photos": "are a folder: expected a .safetensors, .pt or .pth file",
    f"{SEAM} --bottom-weights swapped.pt": "1.weight (expected (16, 64), found (24, 64))",
    f"{SEAM} --bottom-weights lacking.pt": "1 missing: 3.bias",
    f"{SEAM} --bottom-weights epoch.pt": "hold no state dict: found epoch",
    f"{SEAM} --bottom-weights nan.pt": "of the 1,024 numbers of 1.weight are NaN or infinite",
    # data
    f"{SEAM} --data digit": "did you mean 'digits'",
    f"{SEAM} --data photos": "did you mean 'folder:photos'",
    f"{SEAM} --data table.csv": "did you mean 'arrays:table.csv'",
    f"{SEAM} --data folder:": "expected 'folder:DIR', with what is read behind the colon",
    f"{SEAM} --data folder:nowhere": "There is no folder 'nowhere': expected one with a sub-folder for each class",
    f"{SEAM} --data folder:notes.txt": "'notes.txt' is a file: expected a folder",
    f"{SEAM} --data parquet:rows.parquet": "name the folder that it lies in",
    f"{SEAM} --data folder:hollow": "has 0 sub-folder(s): expected two or more",
    f"{SEAM} --data folder:flat/deep/cat": "12 image(s) beside the class folders",
    f"{SEAM} --data folder:damaged": "1 of 24 files are no images, the first is damaged/cat/3.png",
    f"{SEAM} --data folder:sizes": "add '?size=224' to the folder's name",
    f"{SEAM} --data folder:few": "The fit split of few is empty",
    f"{SEAM} --data folder:photos?sise=8": "The folder option 'sise=8' is not known",
    f"{SEAM} --data folder:hdr": "holds floats from nan to nan: expected 0 to 1",
    f"{SEAM} --data text:nowhere.txt": "The text 'nowhere.txt' cannot be read: No such file",
    f"{SEAM} --data text:notes.txt": "needs a tokenizer",
    f"{SEAM} --limit 0": "0 is not in the range x>=1",
    # how they were trained to see
    f"{SEAM} --mean 0.5": "--mean and --std belong together",
    f"{SEAM} --mean 0.5 --std 0": "a std above 0 for each channel",
    f"{SEAM} --mean 128 --std 60": "divide mean and std by 255",
    f"{SEAM} --mean 0.1,0.2,0.3 --std 1,1,1": "The network takes 1 channels, the mean has 3 numbers",
    f"{SEAM} --expected-error 5": "errs otherwise than expected on the test split",
    # folders for results
    f"{SEAM} --out notes.txt": "Directory 'notes.txt' is a file",
    f"{SEAM} --out notes.txt/x": "Cannot make the folder notes.txt/x",
    f"{PAIR} --out runs/a": "runs/a was made by another study",
    "status photos": "expected a folder with study.json, found none",
    "report notes.txt": "notes.txt is no study",
    "figure runs/a -o x.doc": "no known ending: expected .pdf, .svg, .png",
    "figure runs/a -o photos": "File 'photos' is a directory",
    "figure runs/a -o notes.txt/x.png": "Cannot make the folder notes.txt",
    "figure runs/a -o x.png --pair a b": "The pair a -> b was not stitched",
    "figure rows.parquet -o x.png": "is not a table of records: expected the columns",
    "figure short.parquet -o x.png": "must end with PAR1",
    "export runs/a x.xlsx": "neither .parquet, .csv nor .json",
    # study files
    "run nowhere.toml": "File 'nowhere.toml' does not exist",
    "run syntax.toml": "Cannot read the study syntax.toml: expected a TOML file",
    "run nothing.toml": "nothing.toml: name is missing",
    "run latin.toml": "'utf-8' codec can't decode byte",
    "run layer.toml": "layer is unknown; did you mean 'layers'",
    "run pairs.toml": "expected names of the networks 'a', 'b' in pairs, not 'c'",
    "run seeds.toml": "seeds: expected distinct whole numbers from 0 in a list",
    "run objective.toml": "found ['mach']",
    "run step.toml": "fit.step is unknown; did you mean 'steps'",
    "run text-steps.toml": "fit.steps: expected a valid integer, found '3'",
    # embeddings
    "align old.npy nowhere.npy": "(nowhere.npy) cannot be read (No such file or directory)",
    "align old.npy fewer.npy": "found 50 rows in the old embeddings (old.npy) and 40",
    "align line.npy new.npy": "must be a matrix, a row for each sample: found shape (50,)",
    "align fake.npy new.npy": "cannot be read (EOF: reading magic string, expected 8 bytes got 5): expected a .npy",
    "align old.npy new.npy": "expected 2 to 48 queries; ask for fewer",
    "align gap.npy new.npy --queries 10 --k 1": "hold NaN in row 1, column 1",
    "align old.npy new.npy --queries 10 --k 1 --family afine": "did you mean 'affine'",
    "align old.npy new.npy --queries 10 --ids line.npy new.npy": "expected as many ids, found 200",
    # the rest
    "train smal-resnet": "did you mean 'small-resnet'",
    "train small-resnet --name a/b": "cannot be a folder's",
    "train timm:resnet18": "no net of the zoo, and only those are trained here: expected one of small-resnet",
    "train mlp --steps 2": "cannot be trained on digits, whose samples are (1, 8, 8) and whose task is classification",
    "train fcn --steps 2": "cannot be trained on digits, whose samples are (1, 8, 8) and whose task is classification",
    "layers llama": "the folder holds a model of Hugging Face's kind: write 'hf:llama'",
    # language models
    "stitch llama@model.layers.0 llama@model.layers.0 --data text:rows.parquet": "write 'hf:llama'",
    "stitch hf:llama@model.layers.0 hf:llama@model.layers.0": "reads text, the data hold samples of (1, 8, 8)",
    "stitch hf:llama@model.layers.0 hf:tongue@model.layers.0 --data text:words.txt": "have different tokenizers",
    "stitch hf:llama@model.layers.0 hf:mute@model.layers.0 --data text:words.txt": "holds no tokenizer",
    "stitch hf:llama@model.layer.0 hf:llama@model.layers.0 --data text:words.txt": "has no layer 'model.layer.0'",
    "stitch hf:llama@model.layers.0 hf:llama@model.layers.0 --data text:notes.txt": "gives 0 samples",
    "stitch hf:llama?size=x@model.layers.0 hf:llama@model.layers.0 --data text:words.txt": "a number of 1 or more",
    "stitch hf:llama@model.layers.0 hf:llama@model.layers.0 --data text:rows.parquet?column=txet": "no column 'txet'",
    "tune photos --out t": "holds no stitch: expected stitch.json",
    "similarity import:mlp import:mlp --measure ckaa --limit 100": "or a Measure of your own; did you mean",
    "paper 99": "There is no figure '99'",
}


def test_there_are_eighty_of_them():
    assert len(TYPED) + len(CALLED) >= 80


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "words"), TYPED.items(), ids=list(TYPED))
def test_what_is_typed_wrongly(monkeypatch, capfd, world, typed, words):
    before = everything(world)
    files = ["--import", "nets.py"] if "import:" in typed and "--import" not in typed else []
    code, _, err = run(monkeypatch, capfd, *typed.split(), *files)
    said = err.strip().splitlines()[-1]
    assert code == 2
    assert words in said
    assert said.startswith(("modelstitch: ", "Error: "))
    assert "Traceback" not in err
    assert everything(world) == before


def net(width=16, **more):
    return ms.Network(mlp(width), torch.zeros(2, 1, 8, 8), f"net{width}", **more)


def splits(x, y, **more):
    return ms.Data((x[:30], y[:30]), (x[30:40], y[30:40]), (x[40:], y[40:]), **more)


X, Y = np.random.default_rng(0).random((60, 1, 8, 8), np.float32), np.arange(60) % 10
DATA = ms.load_data("digits", limit=100)


def stitched(data=DATA, **more):
    return ms.stitch(net(), net(24), **{"at": "1", "objective": "match", **more}, data=data)


CALLED = {
    "a bare module": (
        lambda: ms.stitch(mlp(), mlp(), at="1", data=DATA),
        "make one with Network(module, example",
    ),
    "None": (lambda: ms.stitch(None, net(), at="1", data=DATA), "found NoneType"),
    "data by name": (lambda: stitched("digits"), "modelstitch.load_data('digits')"),
    "data None": (lambda: stitched(None), "found None"),
    "a tensor as data": (lambda: stitched(torch.zeros(2)), "found Tensor"),
    "no layer": (lambda: stitched(at=None), "expected 'matching', 'all', or layers"),
    "a number as layer": (lambda: stitched(at=3), "found [3]"),
    "a wrong keyword": (lambda: stitched(step=3), "There is no option 'step': did you mean 'steps'"),
    "steps None": (lambda: stitched(steps=None), "'steps' is wrong: expected a valid integer, found None"),
    "steps as text": (lambda: stitched(steps="3"), "expected a valid integer, found '3'"),
    "a family": (lambda: stitched(family="afine"), "did you mean 'affine'"),
    "families": (lambda: stitched(family=["affine"]), "One stitch has one family"),
    "one network": (lambda: ms.compare(net(), data=DATA), "The top must be a modelstitch Network"),
    "data before networks": (lambda: ms.compare(DATA, net(), net()), "found Data"),
    "one seed": (lambda: ms.compare(net(), net(24), data=DATA, seeds=0), "in a list, such as [0, 1], found 0"),
    "a folder that is a number": (lambda: ms.compare(net(), net(24), data=DATA, out=3), "found int"),
    "a class": (lambda: ms.Network(nn.Linear, X), "found the class Linear"),
    "weights as a network": (lambda: ms.Network(mlp().state_dict(), X), "found a OrderedDict"),
    "an array as example": (lambda: ms.Network(mlp(), X[:2]), "make one with torch.as_tensor"),
    "a shape as example": (lambda: ms.Network(mlp(), (1, 8, 8)), "of a shape with torch.zeros"),
    "another size": (lambda: ms.Network(mlp(), torch.zeros(2, 1, 9, 9)), "check that the example has the size"),
    "numbers as view": (lambda: net(view=((0.5,), (0.5,))), "for a mean and a std write Normalise(mean, std)"),
    "a layer by its number": (lambda: net().bottom(2), "has no layer 2: did you mean '2'?"),
    "layers in a list": (lambda: net().bottom(["2"]), "has no layer ['2']"),
    "networks as embeddings": (lambda: ms.align(net(), net(24)), "a row for each sample: found a Network"),
    "a layer": (lambda: net().bottom("fc"), "(it has '0', '1', '2', '3')"),
    "labels as text": (lambda: stitched(splits(X, [str(y) for y in Y])), "give their names as classes="),
    "labels from 1": (lambda: stitched(splits(X, Y + 1)), "Labels that count from 1 need 1 subtracted"),
    "one-hot labels": (lambda: stitched(splits(X, np.eye(10)[Y])), "make them with .argmax(1)"),
    "tell True": (lambda: stitched(tell=True), "'tell' is wrong: expected a function or None, found True"),
    "on_event a list": (lambda: stitched(on_event=[print]), "'on_event' is wrong: expected a function or None"),
    "tensorboard True": (lambda: stitched(tensorboard=True), "expected text, a pathlib.Path or None, found True"),
    "memory as text": (lambda: stitched(memory="2"), "'memory' is wrong: expected a number or None, found '2'"),
    "a device that is none": (lambda: stitched(device=0.5), "expected 'cpu', 'cuda' or 'auto', found 0.5"),
    "a console": (lambda: ms.progress(3), "'console' is wrong: expected a Console or None, found 3"),
    "no measures": (lambda: ms.similarity(net(), net(24), data=DATA, measures=True), "a Measure or a list, found True"),
    "other seeds": (lambda: ms.compare(net(), net(24), data=DATA, other_seeds=net()), "a dict {top: network}"),
    "families as a set": (lambda: ms.matrix(net(), net(24), DATA, family={"affine"}), "text or a list of texts"),
    "a pair as text": (lambda: ms.open("runs/a").figure(pair="good"), "expected a pair (text, text) or None"),
    "a page of data by name": (lambda: ms.open("runs/a").report("x", data="digits"), "expected a Data or None"),
    "ids that are none": (lambda: ms.align(np.eye(6), np.eye(6), old_ids=3), "a list of one for each row, found 3"),
    "weights as text": (lambda: ms.align(np.eye(6), np.eye(6), weights="x"), "numbers of zero or more: found 'x'"),
    "one class": (lambda: stitched(splits(X, Y * 0)), "expected two classes"),
    "too few labels": (lambda: ms.Data((X, Y[:-1]), (X, Y), (X, Y)), "60 inputs and 59 labels"),
    "no samples": (lambda: splits(X[:0], Y[:0]), "expected at least one sample"),
    "one split thrice": (lambda: stitched(ms.Data((X, Y), (X, Y), (X, Y))), "expected disjoint splits"),
    "NaN images": (lambda: stitched(splits(np.where(X > 0.999, np.nan, X), Y)), "NaN or infinity"),
    "a task": (lambda: splits(X, Y, task="clasification"), "did you mean 'classification'"),
    "another task": (lambda: stitched(splits(X, Y, task="regression")), "choose the output with output="),
    "load None": (lambda: ms.load(None), "load takes a name first: expected text or a path, found None"),
    "load a module": (lambda: ms.load(mlp()), "found Sequential"),
    "load weights": (lambda: ms.load(Path("good.pt")), "give the file as weights="),
    "load_data None": (lambda: ms.load_data(None), "load_data takes a name first"),
    "limit as text": (lambda: ms.load_data("digits", limit="10"), "limit must be 1 or more, found '10'"),
    "open None": (lambda: ms.open(None), "The answer to open has no path"),
    "open nowhere": (lambda: ms.open("nowhere"), "expected a folder with study.json"),
    "a measure": (lambda: ms.similarity(net(), net(24), data=DATA, measures=["ckaa"]), "did you mean 'cka'"),
    "a figure": (lambda: ms.open("runs/a").figure("penalti"), "did you mean 'penalty'"),
    "a page nowhere": (lambda: ms.open("runs/a").report(None), "The page has no path"),
    "a stitch of nothing": (lambda: ms.Stitched.load("photos"), "found No such file or directory"),
    "rows that differ": (lambda: ms.align(np.eye(6), np.eye(5)), "found 6 rows"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("call", "words"), CALLED.values(), ids=list(CALLED))
def test_what_is_called_wrongly(world, call, words):
    before = everything(world)
    with pytest.raises(ms.StitchError) as told:
        call()
    assert words in str(told.value)
    assert "\n" not in str(told.value)
    assert everything(world) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "made"),
    [
        (f"{SEAM} --data folder:link", None),
        ("stitch hf:llama@model.layers.0 hf:llama@model.layers.0 --data text:words.txt --limit 3 --steps 2", None),
        (f"{SEAM} --out dir\u00e9/a", "dir\u00e9/a/stitch.json"),
        ("export runs/a new/place.csv", "new/place.csv"),
    ],
    ids=["a link", "three samples", "another alphabet", "a folder that is not there yet"],
)
def test_what_looks_wrong_and_is_right(monkeypatch, capfd, world, typed, made):
    if not Path("link").exists():
        os.symlink("photos", "link")
    files = ["--import", "nets.py"] if "import:" in typed else []
    assert run(monkeypatch, capfd, *typed.split(), *files)[0] == 0
    assert made is None or Path(made).is_file()
