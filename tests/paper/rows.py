"""Records of curves made by hand."""

from modelstitch.paper import cka as likeness

LOW = [(0.3, 1.0, 0.0, 2.0), (0.6, 2.0, 1.0, 3.0)]
HIGH = [(0.3, 9.0, 8.0, 10.0), (0.6, 20.0, 18.0, 22.0)]
LATER = [(0.7, -3.0, -4.0, -2.0)]
ALIKE = {"control": "similarity", "metric": likeness.CKA}


def record(
    line="a",
    depth=0.5,
    value=1.0,
    low=None,
    high=None,
    control="pair",
    repeat=0,
    top="t",
    bottom="s",
    family="affine",
    metric="penalty",
):
    end = {"name": top, "fingerprint": top, "layer": f"at {depth}", "depth": depth, "index": 0}
    return {
        "cell": f"{line}{depth}{control}{repeat}",
        "config": {
            "control": control,
            "bottom": {**end, "name": bottom},
            "top": end,
            "family": family,
            "data": {"fingerprint": "d"},
        },
        "metrics": [{"metric": metric, "value": value, "low": low, "high": high, "unit": "points"}],
        "paper": {"figure": "x", "scale": "smoke", "protocol": "honest", "line": line, "repeat": repeat},
        "provenance": {},
    }


def curve(line, *points, **kwargs):
    """Points (depth, value, low, high)."""
    return [record(line, d, v, lo, hi, **kwargs) for d, v, lo, hi in points]


def lost(line, depth, **kwargs):
    """A fit that failed: the record is there, without metrics."""
    return [{**record(line, depth, **kwargs), "metrics": []}]


def errors(line, control, *values, layer=0.5, **kwargs):
    return [record(line, layer, v, control=control, metric="error", repeat=i, **kwargs) for i, v in enumerate(values)]
