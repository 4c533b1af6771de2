"""Write a results page and its figure from committed records: nothing on the page is typed by hand but the commands.

    python docs/results/render.py docs/results/cifar10-pair

reads ``cifar10-pair.parquet`` (records) and ``cifar10-pair.txt`` (title, then the commands that made them), and writes
``cifar10-pair.md`` and ``cifar10-pair.svg``. No training, no torch.
"""

import sys
from pathlib import Path

from modelstitch.records.parquet import records_from_parquet
from modelstitch.report.figures.pair import penalty_figure
from modelstitch.report.figures.svg import to_svg
from modelstitch.report.frame import frame, pairs, panel
from modelstitch.report.sentences.findings import spoken


def main(stem: Path) -> None:
    records = records_from_parquet(stem.with_suffix(".parquet"))
    title, *commands = stem.with_suffix(".txt").read_text(encoding="utf-8").strip().splitlines()
    table = frame(records)
    (bottom, top), *_ = pairs(table)
    rows = panel(table, bottom, top)
    stem.with_suffix(".svg").write_text(to_svg(penalty_figure(rows, bottom, top), title=title), encoding="utf-8")
    penalties = rows.filter(metric="penalty")
    controls = [
        c for c in ("pair", "self", "random", "class-noise", "shuffled", "identity") if c in set(penalties["control"])
    ]
    layers = penalties.filter(control="pair").sort("top_index")["top_layer"].unique(maintain_order=True)
    lines = [f"# {title}", "", f"![Penalty against depth]({stem.name}.svg)", ""]
    lines += ["| layer | " + " | ".join(controls) + " |", "|---" * (len(controls) + 1) + "|"]
    for layer in layers:
        cells = [penalties.filter(control=control, top_layer=layer) for control in controls]
        lines.append(f"| {layer} | " + " | ".join(_cell(cell) for cell in cells) + " |")
    config, made = records[0]["config"], records[0]["provenance"]
    errors = {m: rows.filter(metric=m, control="pair")["value"][0] for m in ("bottom_error", "top_error")}
    lines += [
        "",
        f"Penalties in {penalties['unit'][0]}, with 95 % intervals paired over the same test examples. Test error "
        f"of the bottom network {errors['bottom_error']:.2f} %, of the top network {errors['top_error']:.2f} %.",
        "",
        *(f"- {line.strip()}" for line in spoken(table)[1:]),
        *("", "## How it was made", "", "```bash", *commands, "```", ""),
        f"Data: {config['data']['name']}, {config['data']['fit']} fit (of them {config['fit']['samples'] or 'all'} for "
        f"the stitchers), {config['data']['val']} validation, {config['data']['test']} test samples; augmentation: "
        f"{config['data']['augment']}. Seeds: {sorted({r['config']['seed'] for r in records})}. Family "
        f"{config['family']}, normalisation {config['normalisation']}. modelstitch {made['modelstitch']}, torch "
        f"{made['torch']}, {made['device']}, {made['threads']} threads, {made['date']}. Records: "
        f"`{stem.name}.parquet`; this page is written from them by `docs/results/render.py`.",
    ]
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(rows) -> str:
    if not len(rows):
        return "-"
    row = rows.row(0, named=True)
    return f"{row['value']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
