"""A part of a traced network as plain values and tensors, and back.

``torch.export.load`` unpickles, which may run code of the file. Here a programme is a list of operations by name, and
the names that are looked up stand in this file: operations of PyTorch that compute a value from values, write nothing,
draw nothing and name no file.
"""

from __future__ import annotations

import keyword
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from ..errors import NetworkError
from .segment import FromInput, FromLayer
from .trace.form import InputForm

# By what they do. An operation that is not here cannot be kept; whoever adds one makes sure that it is as harmless.
_NAMES = """
    conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d linear matmul mm bmm addmm
    baddbmm addbmm mv dot einsum bilinear outer tensordot embedding lstm gru rnn_tanh rnn_relu
    scaled_dot_product_attention _native_batch_norm_legit_no_training _native_batch_norm_legit batch_norm layer_norm
    native_layer_norm group_norm native_group_norm instance_norm rms_norm _fused_rms_norm linalg_vector_norm
    linalg_norm norm relu relu6 leaky_relu elu selu celu gelu silu mish hardtanh hardswish hardsigmoid sigmoid
    log_sigmoid tanh softplus prelu glu softmax _softmax log_softmax _log_softmax hardshrink softshrink threshold
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d
    _upsample_bilinear2d_aa upsample_bicubic2d _upsample_bicubic2d_aa upsample_trilinear3d grid_sampler
    grid_sampler_2d affine_grid_generator pixel_shuffle pixel_unshuffle channel_shuffle im2col col2im unfold pad
    constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d add sub rsub mul div
    true_divide floor_divide remainder fmod pow exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal abs
    neg negative sign sgn ceil floor round trunc frac sin cos tan asin acos atan atan2 sinh cosh erf erfc erfinv clamp
    clamp_min clamp_max minimum maximum fmin fmax max min amax amin aminmax sum mean prod var std var_mean std_mean
    logsumexp logcumsumexp cumsum cumprod cummax cummin argmax argmin any all count_nonzero nan_to_num lerp addcmul
    addcdiv hypot logaddexp xlogy eq ne gt ge lt le isnan isinf isfinite logical_and logical_or logical_not
    logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor __and__ __or__ __xor__ __lshift__ __rshift__
    bitwise_left_shift bitwise_right_shift where masked_fill view _unsafe_view reshape flatten unflatten permute
    transpose t numpy_T mT swapaxes movedim squeeze unsqueeze expand repeat repeat_interleave tile cat concat stack
    hstack vstack split split_with_sizes chunk unbind slice select narrow index index_select gather take_along_dim
    scatter scatter_add scatter_reduce index_add index_put index_copy index_fill fill zero select_scatter
    slice_scatter masked_select diagonal diag diag_embed tril triu flip roll rot90 meshgrid broadcast_tensors
    as_strided clone contiguous alias detach lift_fresh_copy to _to_copy type_as copy view_as_real view_as_complex
    complex real imag polar conj resolve_conj zeros ones full empty zeros_like ones_like full_like new_zeros new_ones
    new_full arange linspace eye scalar_tensor one_hot sort argsort topk bucketize searchsorted linalg_inv inverse
    linalg_solve fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 sym_size sym_numel
"""
OPERATIONS = frozenset(_NAMES.split())
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "getitem": operator.getitem,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "neg": operator.neg,
    "truediv": operator.truediv,
    "sym_max": torch.sym_max,
    "sym_min": torch.sym_min,
    "sym_float": torch.sym_float,
    "sym_int": torch.sym_int,
}
_FUNCTION_NAMES = {function: name for name, function in _FUNCTIONS.items()}
_KINDS: dict[str, type] = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}
_PART = re.compile(r"[\w-]+")
_PLAIN = (bool, int, str, type(None))


class ForeignError(ValueError):
    """Values that are no programme, or name what is not among the operations that are looked up."""


def plain_part(part: FromInput | FromLayer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A part with one output as values of JSON, and the tensors that it names. It is not changed.

    Raises:
        NetworkError: it computes with an operation, or is called in a form, that is not kept; the sentence names it.
    """
    at: dict[fx.Node, int] = {}
    tensors, lies = _tensors(part)
    nodes: list[Any] = []
    for node in part.body.graph.nodes:
        at[node] = len(at)
        if node.op == "placeholder":
            nodes.append(["input"])
        elif node.op == "get_attr" and str(node.target) in lies:
            nodes.append(["weight", str(node.target)])
        elif node.op == "call_function":
            told = {key: _plain(value, at, node) for key, value in node.kwargs.items()}
            nodes.append(["call", _name(node), _plain(node.args, at, node), told])
        elif node.op == "output":
            nodes.append(["output", _plain(node.args[0], at, node)])
        else:
            raise _unkept(f"calls {node.target}, which is no single operation")
    values = {"nodes": nodes, "weights": lies, "form": _plain_form(part.form), "reads": part.reads}
    if isinstance(part, FromInput):
        values["made_for"] = [[list(shape), str(dtype).removeprefix("torch.")] for shape, dtype in part.made_for]
        values["proved"] = sorted([list(shape) for shape in shapes] for shapes in part.proved)
        values["name"] = part.name
    return values, tensors


def part_of(values: Any, tensors: Mapping[str, Tensor]) -> FromInput | FromLayer:
    """The part that ``plain_part`` wrote, on the CPU.

    Raises:
        ForeignError: the values are no such part, name an operation that is not among OPERATIONS, or a tensor that is
            not there.
    """
    try:
        graph, weights = fx.Graph(), _weights(values["weights"], tensors)
        made: list[fx.Node] = []
        for kind, *told in values["nodes"]:
            if kind == "input":
                made.append(graph.placeholder(f"x{len(made)}"))
            elif kind == "weight":
                if told[0] not in weights:
                    raise ForeignError(f"the weight {told[0]!r}, which it does not hold")
                made.append(graph.get_attr(told[0]))
            elif kind == "call":
                args, kwargs = _value(told[1], made), {_identifier(k): _value(v, made) for k, v in told[2].items()}
                made.append(graph.call_function(_target(told[0]), tuple(args), kwargs))
            elif kind == "output":
                made.append(graph.output(tuple(_value(told[0], made))))
            else:
                raise ForeignError(f"a step {kind!r}")
        graph.lint()
        body, form, reads = fx.GraphModule(weights, graph), _form(values["form"]), [int(i) for i in values["reads"]]
        if "made_for" not in values:
            return FromLayer.held(body, form, reads)
        made_for = [(tuple(map(int, shape)), _word(torch.dtype, name)) for shape, name in values["made_for"]]
        proved = {tuple(tuple(map(int, shape)) for shape in shapes) for shapes in values.get("proved", [])}
        return FromInput.held(body, form, reads, name=str(values["name"]), made_for=made_for, proved=proved)
    except ForeignError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, SyntaxError) as error:
        raise ForeignError(f"no programme ({type(error).__name__}: {error})") from error


def _unkept(what: str) -> NetworkError:
    return NetworkError(
        f"a part of it {what}: expected operations of PyTorch that stand in a list of harmless ones, since no code "
        f"is read from a file."
    )


def _name(node: fx.Node) -> str:
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        space, _, rest = str(target).partition(".")
        if space == "aten" and rest.partition(".")[0] in OPERATIONS:
            return rest
        raise _unkept(f"computes {target}")
    if target in _FUNCTION_NAMES:
        return _FUNCTION_NAMES[target]
    raise _unkept(f"computes {getattr(target, '__name__', target)}")


def _target(name: Any) -> Callable[..., Any]:
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    packet, dot, overload = str(name).partition(".")
    if packet not in OPERATIONS or not dot:
        raise ForeignError(f"the operation {str(name)[:60]!r}, which is not among those that are run")
    found = getattr(getattr(torch.ops.aten, packet), overload, None)
    if not isinstance(found, torch._ops.OpOverload) or found._schema.is_mutable:
        raise ForeignError(f"the operation {str(name)[:60]!r}, which is not among those that are run")
    return found


def _plain(value: Any, at: Mapping[fx.Node, int], node: fx.Node) -> Any:
    """An argument: lists stay lists, all else that JSON has no word for is an object of one key."""
    if isinstance(value, fx.Node):
        return {"node": at[value]}
    if isinstance(value, list | tuple):
        return [_plain(part, at, node) for part in value]
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, complex):
        return {"complex": [_plain(value.real, at, node), _plain(value.imag, at, node)]}
    if isinstance(value, slice):
        return {"slice": [_plain(part, at, node) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, torch.device):
        return {"device": "meta" if value.type == "meta" else "cpu"}  # which moves with the part
    for word, kind in _KINDS.items():
        if isinstance(value, kind):
            return {word: str(value).removeprefix("torch.")}
    raise _unkept(f"computes {node.target} with a {type(value).__name__}")


def _value(plain: Any, made: list[fx.Node]) -> Any:
    if isinstance(plain, list):
        return [_value(part, made) for part in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, told),) = plain.items()
    if kind == "node":
        if not isinstance(told, int) or not 0 <= told < len(made):
            raise ForeignError(f"the value of a step {told!r} that comes later")
        return made[told]
    if kind == "float":
        return float(told)
    if kind == "complex":
        return complex(*(_value(part, made) for part in told))
    if kind == "slice":
        return slice(*(_value(part, made) for part in told))
    if kind == "device":
        return torch.device("meta" if told == "meta" else "cpu")
    if kind in _KINDS:
        return _word(_KINDS[kind], told)
    raise ForeignError(f"an argument {kind!r}")


def _word(kind: type, name: Any) -> Any:
    """torch.float32, torch.strided, torch.channels_last by name."""
    found = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(found, kind):
        raise ForeignError(f"{name!r}, which is no {kind.__name__} of torch")
    return found


def _identifier(name: Any) -> str:
    """A name that goes into the code that torch writes for a graph."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ForeignError(f"the name {str(name)[:60]!r}")
    return name


def _tensors(part: FromInput | FromLayer) -> tuple[dict[str, Tensor], dict[str, list[Any]]]:
    """The tensors of a part, each once, and for every name that the graph reads.

    Which it is, of what kind, the order of its axes in memory.

    A convolution whose weights lie otherwise may round otherwise.
    """
    body = part.body
    kinds = {
        **{name: ("parameter", value) for name, value in body.named_parameters(remove_duplicate=False)},
        **{name: ("buffer", value) for name, value in body.named_buffers(remove_duplicate=False)},
    }
    held: dict[str, Tensor] = {}
    first: dict[tuple[Any, ...], str] = {}
    lies: dict[str, list[Any]] = {}
    for name, (kind, value) in kinds.items():
        if value.layout is not torch.strided or value.is_quantized:
            raise _unkept(f"holds {name!r}, a sparse or quantised tensor")
        if not _is_fit(name):
            raise _unkept(f"holds a tensor of the name {name!r}")
        same = (value.data_ptr(), value.dtype, value.shape, value.stride()) if value.numel() else (name,)
        key = first.setdefault(same, name)
        if key == name:
            held[name] = value.detach().cpu().contiguous().clone()
        strides = value.stride()
        order = sorted(range(value.ndim), key=lambda axis: -strides[axis])
        dense = value.permute(order).is_contiguous()
        lies[name] = [key, kind, order if dense and not value.is_contiguous() else []]
    return held, lies


def _is_fit(name: str) -> bool:
    """Whether a dotted name may stand in the code that torch writes for a graph, and hides nothing of a module."""
    return all(_PART.fullmatch(part) and not hasattr(fx.GraphModule, part) for part in name.split("."))


def _weights(lies: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    shared: dict[tuple[str, str], Tensor] = {}
    for name, (key, kind, order) in lies.items():
        if kind not in ("parameter", "buffer") or key not in tensors:
            raise ForeignError(f"the weight {name!r}, which it does not hold")
        if not _is_fit(name):
            raise ForeignError(f"the weight {name[:60]!r}")
        if (key, kind) not in shared:
            value = tensors[key]
            if order:
                value = value.permute(order).contiguous().permute([order.index(axis) for axis in range(value.ndim)])
            shared[key, kind] = nn.Parameter(value, requires_grad=False) if kind == "parameter" else value
        found[name] = shared[key, kind]
    return found


def _plain_form(form: InputForm) -> dict[str, Any]:
    """How a network is called: the tree of its inputs, in which every leaf is a number."""
    for value in form.constants.values():
        if not isinstance(value, (*_PLAIN, float)) or (isinstance(value, float) and not math.isfinite(value)):
            raise _unkept(f"is called with a {type(value).__name__} that is no tensor")
    tree = pytree.tree_unflatten(list(range(len(form.paths))), form.spec)
    return {
        "tree": _plain_tree(tree),
        "paths": list(form.paths),
        "data": form.data,
        "constants": [[at, value] for at, value in form.constants.items()],
    }


def _plain_tree(tree: Any) -> Any:
    if type(tree) is int:
        return tree
    if type(tree) in (list, tuple):
        return {type(tree).__name__: [_plain_tree(part) for part in tree]}
    if type(tree) is dict and all(isinstance(key, str) for key in tree):
        return {"dict": [[key, _plain_tree(part)] for key, part in tree.items()]}
    raise _unkept(f"is called with a {type(tree).__name__}")


def _form(plain: Mapping[str, Any]) -> InputForm:
    leaves, spec = pytree.tree_flatten(_tree(plain["tree"]))
    paths, constants = tuple(map(str, plain["paths"])), {int(at): value for at, value in plain["constants"]}
    if leaves != list(range(len(paths))) or plain["data"] not in leaves or plain["data"] in constants:
        raise ForeignError("inputs that do not fit each other")
    return InputForm(spec, paths, constants, plain["data"])


def _tree(plain: Any) -> Any:
    if type(plain) is int:
        return plain
    ((kind, told),) = plain.items()
    if kind == "dict":
        return {str(key): _tree(part) for key, part in told}
    if kind not in ("list", "tuple"):
        raise ForeignError(f"inputs in a {kind!r}")
    parts = [_tree(part) for part in told]
    return tuple(parts) if kind == "tuple" else parts
