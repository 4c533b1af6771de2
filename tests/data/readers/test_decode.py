"""What becomes of each kind of image file.

Scaled rightly or refused by name, the same from a folder and from Parquet.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import polars
import pytest
import torch
from PIL import Image

from modelstitch.data.load import load_data
from modelstitch.data.readers import decode
from modelstitch.errors import DataError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)
WHOLE = torch.from_numpy(GREY.astype(np.float32) / 255)[None]
FULL = torch.from_numpy(COLOUR.astype(np.float32) / 255).permute(2, 0, 1)


DEEP = GREY.astype(np.uint16) * 257
LOW = ((DEEP.astype(np.uint32) * 4095 + 32767) // 65535).astype(np.uint16)


def bytes_of(image, suffix="PNG", **options):
    file = io.BytesIO()
    image.save(file, suffix, **options)
    return file.getvalue()


def palette(image, **options):
    return bytes_of(image.convert("RGB").quantize(255), **options)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown upright after a quarter turn clockwise
    return bytes_of(Image.fromarray(np.rot90(COLOUR).copy()), exif=exif)


def deep_colour(bands):
    """A PNG of 16 bits in 3 bands or 4, which Pillow reads and does not write."""
    rows = np.stack([DEEP, DEEP.T, 65535 - DEEP, np.full_like(DEEP, 65535)][:bands], -1).astype(">u2")
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2 if bands == 3 else 6, 0, 0, 0)),
        (b"IDAT", packed),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(b)) + a + b + struct.pack(">I", zlib.crc32(a + b)) for a, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def alpha(mode, opaque=True):
    image = Image.fromarray(GREY if mode == "LA" else COLOUR).convert(mode)
    band = Image.new("L", (8, 8), 255)
    if not opaque:
        band.putpixel((3, 3), 0)
    image.putalpha(band)
    return bytes_of(image)


def tiff(array, mode=None, **options):
    return bytes_of(Image.fromarray(array, mode) if mode else Image.fromarray(array), "TIFF", **options)


def frames(suffix):
    images = [Image.new("RGB", (8, 8), (80 * i, 0, 0)) for i in range(3)]
    return bytes_of(images[0], suffix, save_all=True, append_images=images[1:])


KINDS = {  # file: what comes out
    "8-bit grey": (bytes_of(Image.fromarray(GREY)), WHOLE),
    "8-bit colour": (bytes_of(Image.fromarray(COLOUR)), FULL),
    "16-bit grey PNG": (bytes_of(Image.fromarray(DEEP)), WHOLE),
    "16-bit colour PNG": (deep_colour(3), FULL),
    "16-bit colour PNG with alpha": (deep_colour(4), FULL),
    "16-bit grey TIFF": (tiff(DEEP), WHOLE),
    "16-bit grey TIFF, white is zero": (tiff(65535 - DEEP, tiffinfo={262: 0}), WHOLE),
    "16-bit grey PGM": (b"P5 8 8 65535\n" + DEEP.astype(">u2").tobytes(), WHOLE),
    "float TIFF": (tiff(GREY.astype(np.float32) / 255), WHOLE),
    "1 bit": (bytes_of(Image.fromarray(GREY > 99)), torch.from_numpy((GREY > 99).astype(np.float32))[None]),
    "palette": (palette(Image.fromarray(GREY)), WHOLE.expand(3, -1, -1)),
    "palette with an unused transparent index": (
        palette(Image.fromarray(GREY), transparency=255),
        WHOLE.expand(3, -1, -1),
    ),
    "opaque LA": (alpha("LA"), WHOLE),
    "opaque RGBA": (alpha("RGBA"), FULL),
    "CMYK": (tiff(255 - np.concatenate([COLOUR, np.full((8, 8, 1), 255, np.uint8)], -1), "CMYK"), FULL),
    "EXIF orientation": (turned(), FULL),
}
REFUSED = {
    "32-bit integers": (tiff(DEEP.astype(np.int32)), "holds whole numbers of more than 16 bits"),
    "floats up to 255": (tiff(GREY.astype(np.float32)), "holds floats from 0 to 252: expected 0 to 1"),
    "NaN": (tiff(np.full((8, 8), np.nan, np.float32)), "holds floats from nan"),
    "see-through RGBA": (alpha("RGBA", opaque=False), r"is see-through in places \(mode RGBA\): .*background=white"),
    "see-through LA": (alpha("LA", opaque=False), r"is see-through in places \(mode LA\)"),
    "see-through palette": (palette(Image.fromarray(GREY), transparency=0), r"is see-through in places \(mode P\)"),
    "see-through by a colour": (
        bytes_of(Image.fromarray(COLOUR), transparency=(0, 0, 255)),
        "is see-through in places",
    ),
    "animated GIF": (frames("GIF"), "holds 3 frames: expected one image"),
    "animated PNG": (frames("PNG"), "holds 3 frames"),
    "animated WebP": (frames("WEBP"), "holds 3 frames"),
    "several pages": (frames("TIFF"), "holds 3 frames"),
}


def parquet(root, encoded):
    root.mkdir()
    kinds = {"image": polars.Struct({"bytes": polars.Binary, "path": polars.String}), "label": polars.Int64}
    for part in ("train", "test"):
        rows = [{"bytes": one, "path": None} for one in encoded]
        polars.DataFrame({"image": rows, "label": [i % 2 for i in range(len(rows))]}, kinds).write_parquet(
            root / f"{part}-0.parquet"
        )
    return f"parquet:{root}"


def folder(root, encoded):
    for part in ("train", "test"):
        for i, one in enumerate(encoded):
            path = root / part / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one + (b"" if part == "train" else b" "))
    return f"folder:{root}"


@pytest.mark.slow
@pytest.mark.parametrize("laid", [folder, parquet])
@pytest.mark.parametrize("name", KINDS)
def test_pixels_are_scaled_rightly(tmp_path, name, laid):
    encoded, expected = KINDS[name]
    data = load_data(laid(tmp_path / "set", [encoded] * 20))
    for split in ("fit", "val", "test"):
        found = next(data.batches(split, 2)).inputs
        assert found.dtype == torch.float32
        assert found.shape[1:] == expected.shape, split
        assert (found - expected).abs().max() < 1e-3, split  # 12 bits of 4095 steps are the coarsest


@pytest.mark.parametrize("laid", [folder, parquet])
def test_few_bits_in_deep_files_are_noted(tmp_path, laid):
    data = load_data(laid(tmp_path / "few", [bytes_of(Image.fromarray(LOW))] * 20))
    assert any(
        "is 0.0618 of their range (4,047 of 65,535): if their values have fewer bits" in note for note in data.notes
    ), data.notes
    assert not load_data(laid(tmp_path / "all", [KINDS["16-bit grey PNG"][0]] * 20)).notes


@pytest.mark.slow
@pytest.mark.parametrize("laid", [folder, parquet])
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_one_meaning_is_refused_by_name(tmp_path, name, laid):
    encoded, words = REFUSED[name]
    spec = laid(tmp_path / "set", [*[bytes_of(Image.fromarray(COLOUR))] * 19, encoded])
    with pytest.raises(DataError, match=words) as told:
        load_data(spec)
    assert ("19.png" if laid is folder else "row 19 of train-0.parquet") in str(told.value)


def test_twelve_bits_are_scaled_by_what_the_file_says(monkeypatch):
    file = io.BytesIO(tiff(LOW))
    with Image.open(file) as image:
        image.tag_v2._tags_v2[258] = (12,)
        found = decode.pixels(image, decode.ImageKind(True, True), decode.ImageOptions())
    assert abs(found - GREY / 255).max() < 1e-3


def test_an_option_lays_see_through_images_on_a_colour(tmp_path):
    encoded = [alpha("RGBA", opaque=False)] * 20
    for colour, value in (("white", 1.0), ("black", 0.0)):
        for laid in (folder, parquet):
            spec = laid(tmp_path / f"{colour}{laid.__name__}", encoded)
            found = next(load_data(f"{spec}?background={colour}").batches("test", 1)).inputs[0]
            assert (found[:, 3, 3] == value).all()
            found[:, 3, 3] = FULL[:, 3, 3]
            assert torch.equal(found, FULL)


@pytest.mark.slow
@pytest.mark.parametrize("laid", [folder, parquet])
def test_the_whole_set_decides_in_all_splits(tmp_path, laid):
    grey, colour, deep = (KINDS[name][0] for name in ("8-bit grey", "8-bit colour", "16-bit grey PNG"))
    for i, (some, options, shape) in enumerate(
        [
            ([grey] + [colour] * 19, "", (3, 8, 8)),
            ([grey] * 19 + [colour], "", (3, 8, 8)),
            ([grey] * 20, "", (1, 8, 8)),
            ([grey] * 20, "?mode=RGB", (3, 8, 8)),
            ([colour] * 20, "?mode=L", (1, 8, 8)),
            ([grey] * 10 + [deep] * 10, "", (1, 8, 8)),
            ([colour] * 10 + [deep] * 10, "?size=4", (3, 4, 4)),
        ]
    ):
        data = load_data(laid(tmp_path / str(i), some) + options)
        assert {next(data.batches(split, 2)).inputs.shape[1:] for split in ("fit", "val", "test")} == {shape}
        assert ("flip" in data.augment.recipe) == (shape[0] == 3)
    assert data.dataset("fit")[0][0].dtype == torch.float32


def test_parquet_and_folder_give_the_same_pixels_of_mixed_kinds(tmp_path):
    names = ["8-bit grey", "8-bit colour", "16-bit grey PNG", "palette", "opaque RGBA", "CMYK", "EXIF orientation"]
    encoded = [KINDS[name][0] for name in names] * 2
    inputs = [
        torch.cat([batch.inputs for batch in load_data(laid(tmp_path / laid.__name__, encoded)).batches("test", 5)])
        for laid in (folder, parquet)
    ]
    order = sorted(range(14), key=lambda i: (i % 2, f"{i}.png"))  # of the folder: by class, and name
    assert torch.equal(inputs[0], inputs[1][order])


@pytest.mark.parametrize("laid", [folder, parquet])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, laid, monkeypatch):
    monkeypatch.setattr(decode, "MOST_PIXELS", 100)
    huge = bytes_of(Image.new("RGB", (20, 6)))
    huge = huge[: huge.index(b"IDAT")] + b"IDAT"  # there is nothing to decode
    spec = laid(tmp_path / "set", [KINDS["8-bit colour"][0]] * 19 + [huge])
    with pytest.raises(DataError, match=r"has 20x6 pixels: expected at most 100; shrink it"):
        load_data(spec)


def test_a_bomb_by_pillows_own_measure_is_told_in_the_same_words(tmp_path):
    pixel = bytes_of(Image.new("1", (8, 8)))
    size = struct.pack(">II", 30_000, 30_000)
    head = b"IHDR" + size + pixel[24:29]
    bomb = pixel[:12] + head + struct.pack(">I", zlib.crc32(head)) + pixel[33:]
    spec = folder(tmp_path / "set", [bomb] * 4)
    with pytest.raises(DataError, match=r"\d.png has 900000000 pixels: expected at most 89,478,485; shrink it"):
        load_data(spec)


def test_a_narrow_image_is_not_blown_up(tmp_path, monkeypatch):
    spec = folder(tmp_path / "set", [bytes_of(Image.new("RGB", (9000, 1)))] * 20)
    monkeypatch.setattr(decode, "MOST_PIXELS", 10_000)
    with pytest.raises(DataError, match=r"so narrow that it would have 72000x8 pixels"):
        next(load_data(f"{spec}?size=8").batches("fit", 1))


def test_a_file_that_starts_another_program_is_no_image(tmp_path):
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    with pytest.raises(DataError, match=r"1 of 20 images do not decode, the first is row 19 of train-0.parquet"):
        load_data(parquet(tmp_path / "set", [KINDS["8-bit colour"][0]] * 19 + [script]))


def test_unknown_options(tmp_path):
    for kind in ("folder", "parquet"):
        with pytest.raises(DataError, match=r"option 'mode=CMYK' is not known: expected 'size=' .*'mode=RGB'"):
            load_data(f"{kind}:{tmp_path}?size=4&mode=CMYK")
