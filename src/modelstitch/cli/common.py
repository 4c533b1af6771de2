"""What several commands share: options, progress bars, models by name, tables."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..errors import StitchError
from ..notation import end
from ..support import progress as bars
from ..support.files import SetAside
from ..support.interrupts import INTERRUPTS
from ..support.shown import visible
from ..support.words import counted

if TYPE_CHECKING:
    from ..data.data import Data
    from ..network import Network
    from ..records.record import Record
    from ..report.tables import Table
    from ..results import Results
    from ..support.ahead import Foretold
    from ..support.progress import Teller


@dataclass
class Manner:
    """How a command speaks.

    Attributes:
        quiet: no progress, and no notes on the way.
        verbose: of a mistake, the lines of code that it comes from, too.
        as_json: standard output is for one JSON document; sentences go to standard error.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False


def manner() -> Manner:
    """That of the command that runs; the usual one where none does."""
    context = click.get_current_context(silent=True)
    found: Manner = Manner() if context is None else context.meta.setdefault(__name__, Manner())
    return found


def say(text: object, *, err: bool = False, file: TextIO | None = None) -> None:
    """Print a line to standard output, to standard error, or to another stream."""
    if manner().as_json and not err:
        err, file = True, None
    click.echo(visible(text), err=err, file=file)


def document(text: str) -> None:
    """Print JSON, whose strings steer nothing."""
    click.echo(text)


def remark(text: object) -> None:
    """Print a line about how the work is done to standard error, unless the user wants it quiet."""
    if not manner().quiet:
        say(text, err=True)


def say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning: those of kept files as a sentence, those of libraries with the place they come from."""
    if issubclass(category, SetAside):
        say(f"modelstitch: {message}", err=True)
    else:
        say(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"), err=True)


def lenient_streams() -> None:
    """A character that the terminal's encoding lacks is written out, too."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # a notebook's streams are none of a file
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@contextmanager
def progress() -> Iterator[Teller]:
    """Bars on standard error; sentences, such as what donors do alone, go where results go."""
    out = sys.stdout  # as it is before bars are drawn: they take what is printed meanwhile to their own stream

    def speak(line: str) -> None:
        _said().add(line)
        say(line, file=out)

    with nullcontext(bars.Teller(_silent, speak)) if manner().quiet else bars.progress() as tell:
        tell.speak, tell.note, draw = speak, None if manner().quiet else remark, tell.bar

        def bar(what: str, done: int, total: int) -> None:
            INTERRUPTS.check()
            draw(what, done, total)

        tell.bar = bar
        yield tell


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody wants to see."""


def speaks(*, as_json: bool = True, quiet: bool = True) -> Decorator:
    """How a command speaks: -v always, --quiet and --json where they mean something."""
    words = {
        "as_json": (("--json",), "Write the result as JSON to standard output; sentences go to standard error."),
        "quiet": (("-q", "--quiet"), "Show no progress and no notes on the way; results, cautions and mistakes stay."),
        "verbose": (
            ("-v", "--verbose"),
            "Of a mistake, show the lines of code that it comes from, too.",
        ),
    }
    wanted = [name for name, there in (("verbose", True), ("quiet", quiet), ("as_json", as_json)) if there]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in wanted:
            flags, told = words[name]
            function = click.option(
                *flags, name, is_flag=True, expose_value=False, is_eager=True, callback=_mannered, help=told
            )(function)
        return function

    return decorate


def _mannered(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    setattr(manner(), str(option.name), value)


def result(**plain: Any) -> None:
    """What a command found, for other programs: a JSON document, where that is asked for."""
    if manner().as_json:
        document(json.dumps(_plain(plain), ensure_ascii=False, allow_nan=False, indent=1))


def _plain(value: Any) -> Any:
    """A value that JSON holds: what is not finite is null, a path its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def answer(found: Results, page: Path | None = None, **more: Any) -> None:
    """The numbers of an answer, for other programs."""
    if manner().as_json:
        said = {"notes": found.notes, "cautions": found.cautions, "failed": found.failed, "missing": found.missing}
        result(pairs=found.pairs, rows=found.frame.to_dicts(), **said, report=page, **more)


def found_in(place: Path) -> Results:
    """The answer that a folder or a file keeps; what a reader of its numbers needs to know is said."""
    from ..results import open as open_results

    found = open_results(place)
    for caution in found.cautions:
        say(f"caution: {caution}", err=True)
    if found.missing:
        cells = counted(len(found.missing), "cell is", "cells are")
        say(f"caution: {cells} missing in {place}: the study has not ended, and this shows a part of it.", err=True)
    return found


def dry(*told: Foretold) -> None:
    """Say what a command would take, part by part."""
    sentences = [line for part in told for line in part.sentences()]
    say("\n".join(sentences))
    result(would=sentences, needs={key: value for part in told for key, value in part.plain().items()})


def ahead(told: Callable[[], Foretold]) -> None:
    """Say what the work will take before it begins, to who wants notes; else it is not measured."""
    if not manner().quiet:
        remark(told().line())


def _said() -> set[str]:
    """What this command said before it fitted anything, and need not say again."""
    said: set[str] = click.get_current_context().meta.setdefault(f"{__name__}.said", set())
    return said


def kept_in(out: Path | None) -> None:
    """Try the folder for results before the work, so that no work is lost where it cannot be written."""
    if out is not None:
        from ..support.files import probe

        probe(out)


seed = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of random numbers.")


def device(default: str = "auto") -> Decorator:
    """--device."""
    return click.option("--device", default=default, show_default=True, help="Device: cpu, cuda or auto.")


def folder(out: str | None = None, words: str = "Folder for the results.", *, required: bool = False) -> Decorator:
    """--out: a folder."""
    kind = click.Path(path_type=Path, file_okay=False)
    return click.option("--out", type=kind, default=out, show_default=out is not None, required=required, help=words)


def figure(*, required: bool = False) -> Decorator:
    """-o, --out: a file of a figure."""
    kind, words = click.Path(path_type=Path, dir_okay=False), "File of the figure: .pdf, .svg or .png."
    return click.option("-o", "--out", type=kind, required=required, help=words)


def shared(*, out: str | None) -> Decorator:
    """--seed, --device and --out."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return folder(out)(device()(seed(function)))

    return decorate


def numbers(
    such: str, kind: type = int, *, least: int | None = 1, most: int | None = None
) -> Callable[[click.Context, click.Parameter, str | None], tuple[Any, ...] | None]:
    """How an option of numbers with commas between is read; ``such`` says what it expects."""

    def read(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        if value is None:
            return None
        try:
            found = tuple(kind(part) for part in value.split(","))
        except ValueError:
            found = ()
        wrong = [one for one in found if (least is not None and one < least) or (most is not None and one >= most)]
        if not found or wrong:
            raise click.BadParameter(f"expected {such}, found {value!r}.")
        return found

    return read


_JUDGED = "modelstitch.judged"  # where the context keeps --task and --metric


def data(function: Callable[..., Any]) -> Callable[..., Any]:
    """--data, --task and --metric: the data by name, what labels mean, and what an error is; see ``data_for``."""
    from ..study.spec import StudySpec

    for name in ("metric", "task"):
        words = StudySpec.model_fields[name].description
        function = click.option(f"--{name}", expose_value=False, callback=_judged, metavar="NAME", help=words)(function)
    return click.option(
        "--data",
        "data_name",
        default="digits",
        show_default=True,
        help="Data: digits, parquet:DIR, folder:DIR, masks:DIR, arrays:FILE, text:FILE, ...",
    )(function)


def _judged(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    ctx.meta.setdefault(_JUDGED, {})[str(option.name)] = value


shown = click.option(
    "--data",
    "data_name",
    metavar="DATA",
    help="The data that were compared on, to show what breaks; text as text:FILE?length=32&tokenizer=DIR.",
)

activations = click.option(
    "--activations",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that keeps what the networks give, in shards: each sample runs once, and a command that was stopped "
    "goes on.",
)

dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Say what the command would take here (cells, passes over the data, memory and time), and make no folder.",
)


def imports(function: Callable[..., Any]) -> Callable[..., Any]:
    """--import FILE.py: its functions are models import:FUNCTION. --plugin NAME: an entry point is used."""
    function = click.option(
        "--plugin",
        multiple=True,
        expose_value=False,
        is_eager=True,
        callback=_use,
        metavar="NAME",
        help="A family, measure, task or reader that an installed package offers. May be repeated.",
    )(function)
    return click.option(
        "--import",
        multiple=True,
        expose_value=False,
        callback=_import,
        metavar="FILE.py",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Your own Python file whose functions build models; name such a model import:FUNCTION. May be repeated.",
    )(function)


def random_weights(function: Callable[..., Any]) -> Callable[..., Any]:
    """--random-weights: of every model that is named without weights of its own."""
    return click.option(
        "--random-weights",
        is_flag=True,
        help="Draw random weights for models without a weights file, instead of taking the published ones.",
    )(function)


def weights_of(side: str) -> Decorator:
    """--SIDE-weights: a file, or the word random."""
    return click.option(
        f"--{side}-weights",
        type=click.Path(path_type=Path),
        help="A weights file, or 'random'; by default the published weights.",
    )


def drawn(spec: str, weights: Path | None, random: bool) -> str | Path | None:
    """The weights to load: a file, "random" where that was asked for of a name that has published ones, or None."""
    if weights is not None or not random or spec.partition(":")[0] in ("file", "import") or Path(spec).is_dir():
        return weights
    return "random"


def _use(ctx: click.Context, option: click.Parameter, names: tuple[str, ...]) -> None:
    if names:
        from ..plugins import use

        use(*names)


def _import(ctx: click.Context, option: click.Parameter, files: tuple[Path, ...]) -> None:
    if files:
        from ..models.load import register

        for file in files:
            register(file)


_VIEWS = "modelstitch.views"  # where the context keeps them
_NUMBERS = "Numbers separated by commas, one for each channel, or one for all"


def views(function: Callable[..., Any]) -> Callable[..., Any]:
    """--mean and --std for both networks, and --bottom-mean ... for one: how raw images are normalised for them."""
    for side in ("top", "bottom", ""):
        whose = f"the {side} network" if side else "both networks"
        for what in ("std", "mean"):
            function = click.option(
                f"--{side + '-' if side else ''}{what}",
                expose_value=False,
                callback=_viewed,
                metavar="NUMBERS",
                help=f"{'Mean' if what == 'mean' else 'Standard deviation'} by which {whose} normalise"
                f"{'s' if side else ''} images, instead of {'its' if side else 'their'} "
                f"own preprocessing. {_NUMBERS}.",
            )(function)
    return function


def _viewed(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    such = "numbers such as 0.5 or 0.485,0.456,0.406 (of images in [0, 1])"
    found = numbers(such, float, least=None)(ctx, option, value)
    if found is not None:
        ctx.meta.setdefault(_VIEWS, {})[str(option.name)] = found


def _view(side: str) -> Any:
    """The view that the command line asks for on one side, or for both; None where it asks for none.

    Raises:
        click.UsageError: where one of the two numbers is missing.
    """
    context = click.get_current_context(silent=True)
    given: dict[str, Any] = {} if context is None else context.meta.get(_VIEWS, {})
    for prefix in (f"{side}_", ""):
        mean, std = given.get(f"{prefix}mean"), given.get(f"{prefix}std")
        if mean is not None and std is not None:
            from ..views import Normalise

            return Normalise(mean, std)
        if mean is not None or std is not None:
            dashed = prefix.replace("_", "-")
            raise click.UsageError(f"--{dashed}mean and --{dashed}std belong together: expected both, found one.")
    return None


def all_opened(names: Sequence[str], given: dict[str, Any], *, scored: bool = True) -> tuple[tuple[Network, ...], Data]:
    """The networks and the data that ``options.several`` name."""
    if len(names) == 2:
        lower, upper, data = opened({**given, "bottom": names[0], "top": names[1]}, scored=scored)
        return (lower, upper), data
    wrong = [f"--{side}-weights" for side in ("bottom", "top") if given[f"{side}_weights"] is not None]
    if wrong:
        raise click.UsageError(
            f"{wrong[0]} is of two networks, found {len(names)}: name networks with their weights in a folder's "
            "donors.toml."
        )
    data = data_for(given["data_name"], names, given["limit"])
    made = [network(name, None, data, random=given["random_weights"], scored=scored) for name in names]
    called = [one.name for one in made]
    return tuple(  # of one name they are told apart by their place
        one if called.count(one.name) == 1 else one.named(f"{one.name} ({at})") for at, one in enumerate(made, 1)
    ), data


def opened(
    given: dict[str, Any], *, scored: bool = True, tags: tuple[str, str] = ("bottom", "top")
) -> tuple[Network, Network, Data]:
    """The bottom, the top and the data that ``options.donors`` name; these are taken out of ``given``."""
    bottom, top, spec, limit = (given.pop(key) for key in ("bottom", "top", "data_name", "limit"))
    weights = given.pop("bottom_weights"), given.pop("top_weights")
    data = data_for(spec, (bottom, top), limit)
    random = given.pop("random_weights")
    return (*two(bottom, weights[0], top, weights[1], data, random=random, scored=scored, tags=tags), data)


def second_of(spec: str | None, data: Data) -> Data | None:
    """A second test set by name, or a corruption of the data's own; None where none is asked for."""
    from ..data.corrupt import second_data

    return None if spec is None else second_data(spec, data)


def data_for(spec: str, models: Sequence[str], limit: int | None = None) -> Data:
    """Data by name; text is read by the tokenizer of the last Hugging Face model named, the top."""
    from ..data.load import load_data

    tokenizer = next((m for m in reversed(models) if m.startswith("hf:")), None)
    if tokenizer is None and spec.startswith("text:"):
        folder = next((m for m in models if (Path(m) / "config.json").is_file()), None)
        if folder is not None:  # it would be told that text needs a tokenizer, which the folder holds
            raise StitchError(f"The folder {folder!r} holds a model of Hugging Face's kind: write 'hf:{folder}'.")
    return load_data(spec, limit=limit, tokenizer=tokenizer, **click.get_current_context().meta.get(_JUDGED, {}))


def network(
    spec: str, weights: Path | None, data: Data, *, random: bool = False, scored: bool = True, side: str = ""
) -> Network:
    """A model by its name, or a donor folder, made for the data, with the view of its side ("bottom", "top").

    Args:
        random: draw its weights where it is named without a file.
        scored: its answers are held against the labels.
    """
    from ..models.load import load_for

    return load_for(data, spec, weights=drawn(spec, weights, random), scored=scored, view=_view(side))


def two(
    bottom: str,
    bottom_weights: Path | None,
    top: str,
    top_weights: Path | None,
    data: Data,
    *,
    random: bool = False,
    scored: bool = True,
    tags: tuple[str, str] = ("bottom", "top"),
) -> tuple[Network, Network]:
    """The bottom's and the top's network; where they are not scored, say whose weights they have.

    Of one name they are told apart by their weights files, or by their sides.
    """
    lower = network(bottom, bottom_weights, data, random=random, scored=scored, side="bottom")
    if (bottom, bottom_weights, _view("bottom")) == (top, top_weights, _view("top")):
        if not scored:
            say_weights(lower)
        return lower, lower
    upper = network(top, top_weights, data, random=random, scored=scored, side="top")
    lower, upper = _told_apart(lower, upper, bottom_weights, top_weights, tags)
    if not scored:  # else it stands beside their own errors
        say_weights(lower, upper)
    return lower, upper


def called(network: Network) -> str:
    """A network's name for a table, with what of its weights is random."""
    from ..report.marks import mark

    return mark(network.name, network.weights)


def say_weights(*networks: Network) -> None:
    """Print where each network's weights come from."""
    for network in networks:
        say(f"{network.name}: weights {network.weights}")


def _told_apart(
    lower: Network, upper: Network, bottom_weights: Path | None, top_weights: Path | None, tags: tuple[str, str]
) -> tuple[Network, Network]:
    if lower.name != upper.name:
        return lower, upper
    stems = [weights.stem if weights else "" for weights in (bottom_weights, top_weights)]
    one, other = tags if stems[0] == stems[1] or "" in stems else stems
    return lower.named(f"{lower.name} ({one})"), upper.named(f"{upper.name} ({other})")


def table(columns: Sequence[str], body: Sequence[Sequence[str]], title: str = "", *, words: Sequence[str] = ()) -> None:
    """Print a table to standard output; plain text where it is no terminal. The columns in ``words`` hold sentences."""
    if manner().as_json:  # which holds its values
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    class Piped(Console):
        """Says that nobody reads any more as any other file does."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    drawn = Table(title=Text(visible(title)) if title else None, title_justify="left")
    for at, column in enumerate(columns):
        drawn.add_column(
            Text(visible(column)), justify="left" if at == 0 or column in words else "right", overflow="fold"
        )
    for row in body:
        drawn.add_row(*(Text(visible(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 160
    Piped(width=width).print(drawn)


def tables_of(found: Iterable[Table]) -> None:
    """Print tables of plain texts."""
    for one in found:
        table(one.head, [[cell.text for cell in row] for row in one.rows], one.caption)


def penalty_tables(records: Sequence[Mapping[str, Any]]) -> None:
    """Print the penalties of every pair by layer, the controls beside them."""
    from ..records.record import as_records
    from ..report.summary import penalty_summaries

    found = as_records(records)
    failures(found)
    tables_of(penalty_summaries(found))
    cautions(note for record in found for note in record.notes)


def failures(records: Sequence[Record]) -> None:
    """Say which stitches have nothing to measure, and why."""
    for record in records:
        for note in record.notes:
            if note.startswith("failed: "):
                say(f"{record.control}: {note}", err=True)


def cautions(notes: Iterable[str]) -> None:
    """Say, each once, what is to be kept in mind beside all numbers, but for what was said before they were fitted."""
    for note in dict.fromkeys(notes):
        if note.startswith("caution: ") and note not in _said():
            say(note)


def split_seam_end(text: str) -> tuple[str, str]:
    """("model", "layer") of ``model@layer``, or of ``model@"layer"`` where the layer's name holds ``@``.

    Raises:
        StitchError: if there is no layer.
    """
    model, layer = end(text) if "@" in text else ("", "")
    if not model:
        raise StitchError(f"{text!r} names no layer: expected MODEL@LAYER, for example zoo:resnet20@block3.")
    return model, layer
