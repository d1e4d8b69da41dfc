"""The engine gives what the definition gives, for every kind of model."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models import engine, memory
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.engine import Engine
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.packed import softmax
from mmr_kit.models.retrieval_model import RetrievalModel

MakeKind = Callable[..., RetrievalModel]
ImagesOf = Callable[[str], list[Regions]]
STREAMS = ("oscar", "pre", "layer_norm", "uniter", "m3p", "visualbert", "vilt")


def check(model: RetrievalModel, captions: list[str], images: list[Regions], tolerance: float = 1e-5, precision: str = "no") -> Engine:
    """All that the engine computes against the definition, at several batch sizes; and that the packed way was taken."""
    fast = Engine(model, precision)
    assert fast.packed
    expected = model.embed_texts(captions, normalize=False), model.embed_images(images, normalize=False), model.score_pairs(captions, images)
    for batch_size in (1, 5, 512):
        found = (fast.embed_texts(captions, False, batch_size), fast.embed_images(images, False, batch_size), fast.score_pairs(captions, images, batch_size))
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == np.float32
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs).max() < tolerance
    assert expected[2].std() > tolerance
    unit = expected[0] / np.linalg.norm(expected[0], axis=1, keepdims=True)
    assert np.abs(fast.embed_texts(captions) - unit).max() < tolerance
    return fast


@pytest.mark.parametrize("name", STREAMS)
def test_equals_the_definition(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    model = make_kind(name, dropout=0.5).train()  # dropout must not matter
    check(model, captions, images_of(name))
    assert model.training, "left as it was"
    assert model.backbone.transformer.training


@pytest.mark.parametrize("name", STREAMS)
def test_of_half_size(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    model = make_kind(name, layers=5)
    model.backbone.skip_odd_layers()
    check(model, captions, images_of(name))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize(("head_input", "head_hidden"), [("summary", 0), ("cls", 0), ("cls", 40)])
def test_of_other_heads_and_poolings(
    make_kind: MakeKind, captions: list[str], images: list[Regions], pooling: str, head_input: str, head_hidden: int
) -> None:
    for name in ("oscar", "m3p"):
        check(make_kind(name, pooling=pooling, head_input=head_input, head_hidden=head_hidden), captions, images)


def test_images_of_one_and_of_very_many_regions_and_captions_of_none_and_of_very_many_words(
    make_kind: MakeKind, make_images: Callable[..., list[Regions]]
) -> None:
    captions, images = ["", "apple " * 100, "boat", "", "cat dog", "cat " * 70], make_images(1, 60, 50, 51, 1, 49)
    for name in ("oscar", "pre", "m3p"):
        check(make_kind(name, max_tokens=20), captions, images)  # M3P numbers positions through, and the tiny one has 72
        check(make_kind(name, max_tokens=5, max_regions=4), captions, images)


def test_grids_repeat_captions_and_images(make_kind: MakeKind, captions: list[str], images: list[Regions]) -> None:
    rows, columns = np.indices((len(captions), len(images))).reshape(2, -1)
    check(make_kind("oscar"), [captions[row] for row in rows[:100]], [images[column] for column in columns[:100]])


def test_the_same_image_as_another_object(make_kind: MakeKind, captions: list[str], images: list[Regions]) -> None:
    copies = [Regions(images[0].features, images[0].boxes) for _ in captions]
    scores = Engine(make_kind("oscar")).score_pairs(captions, copies)
    assert np.abs(scores - make_kind("oscar").score_pairs(captions, images[:1] * len(captions))).max() < 1e-5


def test_more_images_than_are_held_at_once(make_kind: MakeKind, captions: list[str], images: list[Regions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HELD_VALUES", 16 * 10)
    check(make_kind("oscar"), captions, images)
    check(make_kind("oscar"), captions * 2, [*images, *images])


def test_nothing_and_one(make_kind: MakeKind, captions: list[str], images: list[Regions]) -> None:
    model = make_kind("oscar")
    fast = Engine(model)
    assert fast.embed_texts([]).shape == fast.embed_images([]).shape == (0, 16)
    assert fast.score_pairs([], []).shape == (0,)
    assert np.abs(fast.score_pairs(captions[:1], images[:1]) - model.score_pairs(captions[:1], images[:1])).max() < 1e-5
    assert np.abs(fast.embed_images(images[:1]) - model.embed_images(images[:1])).max() < 1e-5


def test_bad_input_is_refused_as_by_the_definition(make_kind: MakeKind, make_images: Callable[..., list[Regions]]) -> None:
    fast = Engine(make_kind("oscar"))
    with pytest.raises(InputError, match="got 1 captions and 2 images"):
        fast.score_pairs(["a"], make_images(2, 3))
    with pytest.raises(InputError, match="region features are 9 wide, this model was made for 8"):
        fast.embed_images(make_images(2, width=9))
    with pytest.raises(InputError, match="precision 'fp8': choose no, bf16, fp16, int8"):
        Engine(make_kind("oscar"), "fp8")


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_two_towers_are_left_to_the_definition(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    model = make_kind(name)
    for precision in ("no", "bf16"):
        fast = Engine(model, precision)
        assert not fast.packed
        assert np.abs(fast.embed_texts(captions) - model.embed_texts(captions)).max() < (1e-6 if precision == "no" else 0.05)
    with pytest.raises(InputError, match="cannot score pairs"):
        Engine(model).score_pairs(captions, images_of(name))


class Shifted(nn.Module):
    """An encoder with parts named as BERT's, and something more."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.layer, self.encoder = encoder.layer, encoder

    def forward(self, states: torch.Tensor, attention_mask: torch.Tensor | None) -> object:
        return self.encoder(states + 1, attention_mask=attention_mask)


class SumOfStates(Oscar):
    kind = "sum_of_states"

    def summary(self, states: torch.Tensor) -> torch.Tensor:
        return states[:, :3].sum(1)


def test_a_backbone_that_computes_otherwise_is_left_to_the_definition(make_kind: MakeKind, captions: list[str], images: list[Regions]) -> None:
    model = make_kind("oscar")
    model.backbone.transformer.encoder = Shifted(model.backbone.transformer.encoder)
    fast = Engine(model)
    assert not fast.packed
    assert np.array_equal(fast.score_pairs(captions, images), model.score_pairs(captions, images))


def test_a_summary_of_ones_own_sees_all_states(make_kind: MakeKind, captions: list[str], images: list[Regions]) -> None:
    like = make_kind("oscar").backbone
    try:
        check(RetrievalModel(SumOfStates(like.config, like.tokenizer, 8)).eval(), captions, images)
    finally:
        del Backbone._classes["sum_of_states"]


@pytest.fixture
def narrow_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models as narrow as these are computed in the precision that is asked for, as wide ones are."""
    monkeypatch.setattr(engine, "PAYS_FROM", 0)
    monkeypatch.setattr(engine, "PAYS_WITH_TILES", 0)


@pytest.mark.usefixtures("narrow_ones_too")
@pytest.mark.parametrize("name", STREAMS)
def test_bf16_is_near(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    model = make_kind(name)
    engine = check(model, captions, images_of(name), tolerance=0.03, precision="bf16")
    if engine.precision == "no":
        pytest.skip("this processor has no instructions for bfloat16")
    exact = engine.exact
    assert isinstance(exact, Engine)
    assert np.abs(exact.score_pairs(captions, images_of(name)) - model.score_pairs(captions, images_of(name))).max() < 1e-5
    assert exact.exact is None


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_narrow_model_is_computed_in_float32(make_kind: MakeKind, captions: list[str], images: list[Regions], precision: str) -> None:
    assert check(make_kind("oscar"), captions, images, precision=precision).precision == "no"


@pytest.mark.parametrize(("tiles", "precision"), [(True, "bf16"), (False, "no")])
def test_a_processor_that_multiplies_tiles_computes_narrower_models_in_bf16(make_kind: MakeKind, tiles: bool, precision: str,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    if tiles and "AVX512" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("this processor has no instructions for bfloat16: its weights cannot be laid out for them")
    model = make_kind("oscar")
    monkeypatch.setattr(engine, "PAYS_WITH_TILES", model.backbone.width)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": tiles})
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert Engine(model, "bf16").precision == precision
    assert Engine(model, "int8").precision == "no"


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_threads_share_the_passes(make_kind: MakeKind, captions: list[str], images: list[Regions], monkeypatch: pytest.MonkeyPatch) -> None:
    model, used, fill = make_kind("oscar"), set(), memory.fill
    many = captions * 20, images * 20
    expected, fast = (model.score_pairs(*many), model.embed_texts(many[0])), Engine(model)
    monkeypatch.setattr(memory, "fill", lambda *told: (used.add((threading.get_ident(), torch.get_num_threads())), fill(*told)))
    for ours, theirs in zip((fast.score_pairs(*many, batch_size=2), fast.embed_texts(many[0], batch_size=2)), expected, strict=True):
        assert np.abs(ours - theirs).max() < 1e-5
    assert len(used) > 1
    assert {threads for _, threads in used} == {1}, "each thread computes alone"
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3, "threads that begin later are as before"
    monkeypatch.setattr(memory, "fill", lambda *told: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fast.score_pairs(*many, batch_size=2)


@pytest.mark.parametrize("length", [1, 3, 7, 15, 16, 33])
def test_softmax_of_rows_of_any_length(length: int) -> None:
    scores = torch.randn(2, 3, length, length, generator=torch.Generator().manual_seed(0)) * 30
    assert torch.allclose(softmax(scores.clone()), scores.softmax(-1), atol=1e-6)
    assert torch.equal(softmax(torch.full((1, length), 1e4)), torch.full((1, length), 1 / length))


@pytest.mark.usefixtures("narrow_ones_too")
def test_a_processor_without_bf16_computes_in_float32(make_kind: MakeKind, captions: list[str], images: list[Regions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert check(make_kind("oscar"), captions, images, precision="bf16").precision == "no"


@pytest.mark.usefixtures("narrow_ones_too")
def test_int8_is_near(make_kind: MakeKind, captions: list[str], images_of: ImagesOf) -> None:
    pytest.importorskip("openvino")
    for name in ("oscar", "vilt"):
        check(make_kind(name), captions, images_of(name), tolerance=0.05, precision="int8")
    with pytest.raises(InputError, match="a clip model cannot be computed in int8"):
        Engine(make_kind("clip"), "int8")


@pytest.mark.usefixtures("narrow_ones_too")
def test_int8_needs_its_runtime(make_kind: MakeKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"int8 needs OpenVINO, which is not installed: pip install 'mmr-kit\[int8\]'"):
        Engine(make_kind("oscar"), "int8")
