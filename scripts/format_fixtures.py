"""Makes the fixtures of tests/formats with the libraries themselves, and checks what monosema wrote for them.

Runs in an environment of its own, with sae-lens 6.54.12, dictionary-learning 0.1.0, eai-sparsify 1.3.3 and
circuit-tracer 0.5.0:

    peers/bin/python scripts/format_fixtures.py make tests/formats/fixtures
    peers/bin/python scripts/format_fixtures.py check FOLDER

`make` writes random dictionaries, each with what its library computes: x, codes and out in `NAME.recorded.safetensors`.
Formats whose library is not on PyPI are written as their documentation lays them out; their numbers are those of the
equations there, in float64. `check` loads every dictionary of FOLDER with the library that its parent folder is named
after, and compares with the recorded numbers beside it; scripts/written_formats.py makes such a folder.
"""

# pyright: reportMissingImports=false
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

D, WIDTH, K, ROWS = 8, 24, 4, 6
Recorded = dict[str, torch.Tensor]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 7 * len(shape)))


def fill(module: torch.nn.Module) -> None:
    """Random weights in place of what a library starts with."""
    for seed, (name, tensor) in enumerate(module.state_dict().items()):
        if tensor.is_floating_point() and tensor.numel() > 1:
            tensor.copy_(random(*tensor.shape, seed=seed) * (0.2 if "threshold" not in name else 0.3))
            if "threshold" in name:
                tensor.abs_()


def record(folder: Path, x: torch.Tensor, codes: torch.Tensor, out: torch.Tensor) -> None:
    path = folder.with_name(f"{folder.name}.recorded.safetensors")
    save_file({name: t.detach().contiguous() for name, t in (("x", x), ("codes", codes), ("out", out))}, path)


# SAELens


def saelens(root: Path) -> None:
    from sae_lens import registry
    from sae_lens.saes.sae import SAEMetadata

    variants: dict[str, tuple[str, dict[str, Any]]] = {
        **{name: (name, {}) for name in ("standard", "gated", "topk", "abstopk", "jumprelu")},
        "standard_no_input_bias": ("standard", {"apply_b_dec_to_input": False}),
        "standard_layer_norm": ("standard", {"normalize_activations": "layer_norm"}),
        "standard_constant_norm": ("standard", {"normalize_activations": "constant_norm_rescale"}),
        "topk_rescaled": ("topk", {"rescale_acts_by_decoder_norm": True}),
        "transcoder_layer_norm": ("transcoder", {"normalize_activations": "layer_norm"}),
        **{
            name: (name, {})
            for name in ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
        },
    }
    for name, (architecture, options) in variants.items():
        options = {"d_in": D, "d_sae": WIDTH, **options}
        metadata = {"model_name": "pythia-70m-deduped", "hook_name": "blocks.3.hook_resid_post", "context_size": 128}
        if "transcoder" in architecture:
            options |= {"d_out": D - 2, "apply_b_dec_to_input": False}
            metadata |= {"hook_name": "blocks.3.ln2.hook_normalized", "hook_name_out": "blocks.3.hook_mlp_out"}
        if "topk" in architecture:
            options |= {"k": K}
        sae_class, config_class = registry.get_sae_class(architecture)
        sae = sae_class(config_class(**options, metadata=SAEMetadata(**metadata, prepend_bos=True)))
        fill(sae)
        x = random(ROWS, D, seed=90)
        sae.save_model(root / name)
        record(root / name, x, sae.encode(x), sae(x))
    trained_saelens(root)
    pursuing_saelens(root)
    whitened_saelens(root)
    old_saelens(root)


def trained_saelens(root: Path) -> None:
    """What training leaves: BatchTopK and Matryoshka are saved as JumpReLU, TopK with its norms folded. Checkpoints of
    the former two are what they would become."""
    from sae_lens import SAE, registry

    for name, options in {
        "batchtopk": {"k": float(K)},
        "matryoshka_batchtopk": {"k": float(K), "matryoshka_widths": [6, WIDTH]},
        "topk": {"k": K, "rescale_acts_by_decoder_norm": True},
    }.items():
        sae_class, config_class = registry.get_sae_training_class(name)
        sae = sae_class(config_class(d_in=D, d_sae=WIDTH, **options))
        fill(sae)
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold.fill_(0.31)
        folder, checkpoint = root / f"trained_{name}", root / f"checkpoint_{name}"
        if "batch" in name:
            sae.save_model(checkpoint)
        sae.save_inference_model(folder)
        loaded, x = SAE.load_from_disk(folder), random(ROWS, D, seed=90)
        record(folder, x, loaded.encode(x), loaded(x))
        if "batch" in name:
            record(checkpoint, x, loaded.encode(x), loaded(x))


def pursuing_saelens(root: Path) -> None:
    """Matching pursuit: rows that end at a repeat, at the residual, and after so many rounds; from unit directions."""
    from sae_lens import SAE, registry

    variants: dict[str, dict[str, Any]] = {
        "matching_pursuit": {"residual_threshold": 0.6},
        "matching_pursuit_rounds": {"max_iterations": 5, "residual_threshold": 0.0, "stop_on_duplicate_support": False},
        "matching_pursuit_no_input_bias": {"apply_b_dec_to_input": False, "normalize_activations": "layer_norm"},
    }
    for name, options in variants.items():
        sae_class, config_class = registry.get_sae_class("matching_pursuit")
        sae = sae_class(config_class(d_in=D, d_sae=WIDTH, **options))
        fill(sae)
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
        sae.save_model(root / name)
        loaded, x = SAE.load_from_disk(root / name), random(2 * ROWS, D, seed=90)
        record(root / name, x, loaded.encode(x), loaded(x))


def whitened_saelens(root: Path) -> None:
    """Checkpoints of training on whitened activations, and what the library makes of them at the end of training."""
    from sae_lens import registry
    from sae_lens.training.activation_scaler import ActivationScaler

    for name, options in {
        "standard": {"apply_b_dec_to_input": False},
        "gated": {"apply_b_dec_to_input": False},
        "topk": {"k": K, "rescale_acts_by_decoder_norm": True},
    }.items():
        sae_class, config_class = registry.get_sae_training_class(name)
        config = config_class(d_in=D, d_sae=WIDTH, normalize_activations="covariance_whitening", **options)
        sae, scaler, x = sae_class(config), ActivationScaler(), random(ROWS, D, seed=90)
        fill(sae)
        batches = iter(random(64, D, seed=seed) @ random(D, D) + 1 for seed in range(8))
        scaler.estimate_whitening(D, batches, n_batches_for_norm_estimate=8)
        folder = root / f"whitened_{name}"
        sae.save_model(folder)
        scaler.save(str(folder / "activation_scaler.json"))
        whitening = scaler.whitening
        sae.fold_activation_whitening(whitening.mean, whitening.matrix, whitening.inverse_matrix)
        codes = sae.encode(x)
        record(folder, x, codes, sae.decode(codes))


def old_saelens(root: Path) -> None:
    """Configurations of versions before 6, which the library still reads, with a sparsity file and scales of ones."""
    from sae_lens import SAE

    weights = {
        "W_enc": random(D, WIDTH, seed=1),
        "b_enc": random(WIDTH, seed=2),
        "W_dec": random(WIDTH, D, seed=3),
        "b_dec": random(D, seed=4),
    }
    common = {"d_in": D, "d_sae": WIDTH, "dtype": "torch.float32", "model_name": "gpt2-small", "device": "cpu"}
    for name, config, more in (
        ("old_relu", {"hook_point": "blocks.5.hook_resid_pre", "normalize_activations": False}, {}),
        (
            "old_topk",
            {
                "hook_name": "blocks.5.attn.hook_z",
                "activation_fn_str": "topk",
                "activation_fn_kwargs": {"k": K},
                "normalize_activations": "none",
                "apply_b_dec_to_input": False,
                "finetuning_scaling_factor": False,
            },
            {"scaling_factor": torch.ones(WIDTH)},
        ),
    ):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cfg.json").write_text(json.dumps({**common, **config}))
        save_file({**weights, **more}, folder / "sae_weights.safetensors")
        save_file({"sparsity": -random(WIDTH, seed=5).abs()}, folder / "sparsity.safetensors")
        sae, x = SAE.load_from_disk(folder), random(ROWS, D, seed=90)
        sae.turn_off_forward_pass_hook_z_reshaping()
        record(folder, x, sae.encode(x), sae(x))


# Releases that SAELens has loaders for: written in their layout, read by its loaders


def published(root: Path) -> None:
    w = weights()
    turned = {"W_enc": w["W_enc"].T.contiguous(), "W_dec": w["W_dec"].T.contiguous()}
    biases = {"b_enc": w["b_enc"], "b_dec": w["b_dec"]}
    folder = root / "qwen_scope" / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({**turned, **biases}, folder / "layer3.sae.pt")
    through_loader("qwen_scope", folder, f"Qwen/{folder.name}", "layer3.sae.pt")

    folder = root / "connor_rob"
    folder.mkdir(exist_ok=True)
    name, place = "gpt2-small_L0_Hcat_z_lr1.20e-03_v9", "blocks.0.attn.hook_z"
    torch.save({"W_enc": w["W_enc"], "W_dec": w["W_dec"], **biases}, folder / f"{name}.pt")
    config = {"act_size": D, "dict_size": WIDTH, "act_name": place, "model_name": "gpt2-small", "seq_len": 128}
    (folder / f"{name}_cfg.json").write_text(json.dumps(config))
    through_loader("connor_rob_hook_z", folder, "org/attn-saes", f"{name}.pt")

    folder, norm, place = root / "llama_scope_r1" / "L15R", 5.5, "blocks.15.hook_resid_post"
    folder.mkdir(parents=True, exist_ok=True)
    config = {"d_model": D, "expansion_factor": WIDTH // D, "act_fn": "jumprelu", "norm_activation": "dataset-wise"}
    config |= {"hook_point_in": place, "hook_point_out": place, "sae_type": "sae"}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {"encoder.weight": turned["W_enc"], "encoder.bias": w["b_enc"], "decoder.weight": turned["W_dec"]}
    tensors |= {"decoder.bias": w["b_dec"], "log_jumprelu_threshold": w["threshold"].log()}
    tensors |= {f"dataset_average_activation_norm.{place}": torch.tensor(norm)}
    save_file(tensors, folder / "sae_weights.safetensors")
    through_loader("llama_scope_r1_distill", folder.parent, "org/llama-scope", "L15R", D**0.5 / norm)


def through_loader(loader: str, root: Path, release: str, id: str, factor: float | None = None) -> None:
    """Records what SAELens makes of local files, in place of those of the hub; the factor is in a list that it has."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders

    def fetch(repo_id: str, filename: str, subfolder: str = "", **options: Any) -> str:
        return str(root / subfolder / filename)

    def convert(cfg_overrides: dict[str, Any], **given: Any) -> Any:
        sizes = {"d_in": D, "d_sae": WIDTH} if loader == "qwen_scope" else {}
        return loaders.NAMED_PRETRAINED_SAE_LOADERS[loader](cfg_overrides={**cfg_overrides, **sizes}, **given)

    loaders.hf_hub_download = fetch
    sae = SAE.from_pretrained(release, id, converter=convert)
    sae.turn_off_forward_pass_hook_z_reshaping()
    if factor is not None:
        sae.fold_activation_norm_scaling_factor(factor)
    x = random(ROWS, D, seed=90)
    record(root / id, x, sae.encode(x), sae(x))


def temporal(root: Path) -> None:
    """Autoencoders of contexts: as SAELens saves them, and as canrager/temporalSAEs has them, by SAELens' loader."""
    from sae_lens import SAE, registry
    from sae_lens.loading import pretrained_sae_loaders as loaders

    sae_class, config_class = registry.get_sae_class("temporal")
    common: dict[str, Any] = {"d_in": D, "d_sae": WIDTH, "n_heads": 2, "bottleneck_factor": 4}
    variants: dict[str, dict[str, Any]] = {
        "topk": {"kval_topk": K, "n_attn_layers": 2, "normalize_activations": "constant_scalar_rescale"},
        "relu": {"sae_diff_type": "relu", "tied_weights": False, "apply_b_dec_to_input": False},
        "layer_norm": {"kval_topk": K, "normalize_activations": "layer_norm"},
        "bare": {"sae_diff_type": "relu", "apply_b_dec_to_input": False},
    }
    for name, options in variants.items():
        if name == "topk":
            options["activation_normalization_factor"] = 0.3
        metadata = registry_metadata("blocks.12.hook_resid_post")
        sae = sae_class(config_class(**common, **options, metadata=metadata))
        fill(sae)
        sae.save_model(root / name)
        record_contexts(root / name, SAE.load_from_disk(root / name))
    folder = root / "original" / "layer_12" / "temporal"
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        {"W_dec": "D", "b_dec": "b"}.get(name, name): tensor
        for name, tensor in load_file(root / "topk" / "sae_weights.safetensors").items()
    }
    save_file(weights, folder / "latest_ckpt.safetensors")
    (folder / "conf.yaml").write_text(
        f"llm: {{dimin: {D}}}\ndata: {{dtype: float32}}\nsae: {{exp_factor: {WIDTH / D}, n_heads: 2, n_attn_layers: 2, "
        f"bottleneck_factor: 4, sae_diff_type: topk, kval_topk: {K}, tied_weights: true, scaling_factor: 0.25}}\n"
    )
    loaders.hf_hub_download = lambda repo_id, filename, **_: str(root / "original" / filename)
    record_contexts(
        folder, SAE.from_pretrained("org/it", "layer_12/temporal", converter=loaders.temporal_sae_huggingface_loader)
    )


def registry_metadata(hook: str) -> Any:
    from sae_lens.saes.sae import SAEMetadata

    return SAEMetadata(model_name="gemma-2-2b", hook_name=hook, context_size=128)


def record_contexts(folder: Path, sae: Any) -> None:
    """Codes of both kinds and the reconstruction of two contexts of five tokens."""
    x = random(2, 5, D, seed=90) * 3
    novel, predicted = sae.encode_with_predictions(x)
    assert predicted.any()
    found = {"x": x, "novel": novel, "predicted": predicted, "out": sae(x)}
    save_file(
        {name: t.detach().contiguous() for name, t in found.items()}, folder.parent / f"{folder.name}.safetensors"
    )


def load_saelens(folder: Path, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)
    sae.turn_off_forward_pass_hook_z_reshaping()
    return sae.encode(x), sae(x)


# dictionary_learning


def dictionary_learning(root: Path) -> None:
    from dictionary_learning import dictionary as classes
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    groups = [6, 8, 10]
    made = {
        "AutoEncoder": classes.AutoEncoder(D, WIDTH),
        "AutoEncoderNew": classes.AutoEncoderNew(D, WIDTH),
        "GatedAutoEncoder": classes.GatedAutoEncoder(D, WIDTH),
        "JumpReluAutoEncoder": classes.JumpReluAutoEncoder(D, WIDTH),
        "AutoEncoderTopK": AutoEncoderTopK(D, WIDTH, K),
        "BatchTopKSAE": BatchTopKSAE(D, WIDTH, K),
        "MatryoshkaBatchTopKSAE": MatryoshkaBatchTopKSAE(D, WIDTH, K, groups),
    }
    for name, ae in made.items():
        fill(ae)
        trainer = {"dict_class": name, "activation_dim": D, "dict_size": WIDTH, "layer": 3, "lm_name": "gpt2"}
        if hasattr(ae, "k"):
            trainer["k"] = K
            ae.threshold.fill_(0.31)
        trainer["submodule_name"] = "mlp_out_layer_3" if name == "AutoEncoderNew" else None
        folder = root / name
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
        torch.save(ae.state_dict(), folder / "ae.pt")
        x = random(ROWS, D, seed=90)
        record(folder, x, ae.encode(x), ae(x))
        if name == "AutoEncoderTopK":
            torch.save(ae.state_dict(), folder / "checkpoints" / "ae_100.pt")


def load_dictionary_learning(folder: Path, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from dictionary_learning import dictionary
    from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

    trainer = json.loads((folder / "config.json").read_text())["trainer"]
    name, homes = trainer["dict_class"], (dictionary, top_k, batch_top_k, matryoshka_batch_top_k)
    kind = next(getattr(home, name) for home in homes if hasattr(home, name))
    # Else its own loader divides the decoder's rows by their norms.
    options = {"normalize_decoder": False} if name == "AutoEncoder" else {}
    options |= {"k": trainer["k"]} if "k" in trainer else {}
    ae = kind.from_pretrained(folder / "ae.pt", **options)
    return ae.encode(x), ae(x)


# sparsify


def sparsify(root: Path) -> None:
    from sparsify import SparseCoderConfig
    from sparsify.sparse_coder import SparseCoder

    for name, options in {
        "layers.3": {},
        "layers.4.mlp": {"transcode": True, "skip_connection": True},
        "layers.5": {"activation": "groupmax", "num_latents": 0, "expansion_factor": WIDTH // D},
        "skip": {"skip_connection": True},
    }.items():
        coder = SparseCoder(D, SparseCoderConfig(**{"num_latents": WIDTH, "k": K, **options}))
        fill(coder)
        coder.save_to_disk(root / name)
        x = random(ROWS, D, seed=90)
        record(root / name, x, *through_sparsify(coder, x))


def through_sparsify(coder: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found = coder.encode(x)
    codes = torch.zeros(len(x), coder.num_latents).scatter(1, found.top_indices, found.top_acts)
    return codes, coder(x).sae_out


def load_sparsify(folder: Path, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from sparsify.sparse_coder import SparseCoder

    return through_sparsify(SparseCoder.load_from_disk(folder), x)


# circuit-tracer


def traced(root: Path) -> None:
    """Sets with one transcoder for each layer, in a folder and listed; and a cross-layer transcoder of three layers."""
    from circuit_tracer.transcoder.activation_functions import JumpReLU
    from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, load_transcoder_set

    lines = ["model_name: google/gemma-2-2b", "feature_input_hook: ln2.hook_normalized"]
    lines += ["feature_output_hook: hook_mlp_out", "model_kind: transcoder_set"]
    for name, files in {"set": ["layer_0", "layer_1"], "listed": ["early", "late"]}.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        paths = {layer: str(root / name / f"{file}.safetensors") for layer, file in enumerate(files)}
        for layer, path in paths.items():
            jump = JumpReLU(torch.zeros(WIDTH), 0.1)
            made = SingleLayerTranscoder(D, WIDTH, jump, layer, skip_connection=layer == 1, dtype=torch.float32)
            fill(made)
            made.W_enc.mul_(layer + 1)
            made.to_safetensors(path)
        listed = [f"transcoders: [{', '.join(f'{file}.safetensors' for file in files)}]"] if name == "listed" else []
        (root / name / "config.yaml").write_text("\n".join([*lines, *listed]) + "\n")
        x = random(ROWS, D, seed=90)
        for file, one in zip(files, load_transcoder_set(paths, "", "", "", device=torch.device("cpu")), strict=True):
            record(root / name / f"{file}.safetensors", x, one.encode(x), one(x))
    traced_across(root / "across")
    traced_gemma(root.parent / "gemma_scope_2" / "clt")


def traced_across(folder: Path) -> None:
    from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder, load_clt

    plain = {"dtype": torch.float32, "device": torch.device("cpu")}
    made = CrossLayerTranscoder(3, WIDTH, D, "jump_relu", lazy_decoder=False, **plain)
    fill(made)
    made.to_safetensors(str(folder))
    (folder / "config.yaml").write_text(
        "model_name: google/gemma-2-2b\nmodel_kind: cross_layer_transcoder\n"
        "feature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n"
    )
    loaded, x = load_clt(str(folder), **plain), random(ROWS, 3 * D, seed=90)
    found = x.unflatten(1, (3, D)).transpose(0, 1)
    codes, out = (t.transpose(0, 1).flatten(1) for t in (loaded.encode(found), loaded(found)))
    record(folder, x, codes, out)


def traced_gemma(folder: Path) -> None:
    """Gemma Scope 2's cross-layer transcoder, as circuit-tracer reads it."""
    from circuit_tracer.transcoder.cross_layer_transcoder import load_gemma_scope_2_clt

    folder.mkdir(parents=True, exist_ok=True)
    paths = {layer: str(folder / f"params_layer_{layer}.safetensors") for layer in range(3)}
    for layer, path in paths.items():
        tensors = {"w_enc": random(D, WIDTH, seed=layer), "b_enc": random(WIDTH, seed=layer + 9) / 2}
        tensors |= {"w_dec": random(WIDTH, 3, D, seed=layer) / 3, "b_dec": random(D, seed=layer + 19)}
        tensors["w_dec"][:, :layer] = 0
        tensors |= {"threshold": random(WIDTH, seed=layer + 29).abs()}
        save_file({**tensors, "affine_skip_connection": random(D, D, seed=layer + 39)}, path)
    # It reads the layers up to the last that it is given, and not that one.
    clt = load_gemma_scope_2_clt({**paths, 3: paths[0]}, device=torch.device("cpu"), dtype=torch.float32)
    x = random(ROWS, 3 * D, seed=90)
    found = x.unflatten(1, (3, D)).transpose(0, 1)
    codes = clt.encode(found)
    out = clt.decode(codes, found)
    record(folder, x, codes.transpose(0, 1).flatten(1), out.transpose(0, 1).flatten(1))


# Formats whose library is not on PyPI: the equations of their documentation, in float64


def weights(d_out: int = D) -> Recorded:
    return {
        "W_enc": random(D, WIDTH, seed=1),
        "b_enc": random(WIDTH, seed=2) / 2,
        "W_dec": random(WIDTH, d_out, seed=3) / 3,
        "b_dec": random(d_out, seed=4),
        "threshold": random(WIDTH, seed=5).abs(),
        "W_skip": random(D, d_out, seed=6),
    }


def documented(root: Path) -> None:
    for write in (gemma_scope, gemma_scope_2, llama_scope, openai, linear_pair, circuit_tracer):
        write(root)


def wide(w: Recorded) -> Recorded:
    return {name: tensor.double() for name, tensor in w.items()}


def jump(pre: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    return pre.relu() * (pre > threshold)


def write_record(folder: Path, x: torch.Tensor, codes: torch.Tensor, out: torch.Tensor) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    record(folder, x.float(), codes.float(), out.float())


def gemma_scope(root: Path) -> None:
    w, x = weights(), random(ROWS, D, seed=90)
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    for name, (keys, root_d) in {
        "layer_20": (names, 1.0),
        "lowercase": (tuple(key.replace("W_", "w_") for key in names), 1.0),
        "embedding": (names, D**0.5),
    }.items():
        folder = root / "gemma_scope" / name
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {key: w[known].numpy() for key, known in zip(keys, names, strict=True)}
        np.savez(folder / "params.npz", **arrays)
        v = wide(w)
        codes = jump(x.double() @ v["W_enc"] / root_d + v["b_enc"], v["threshold"])
        write_record(folder, x, codes, codes @ v["W_dec"] * root_d + v["b_dec"])


def gemma_scope_2(root: Path) -> None:
    x = random(ROWS, D, seed=90)
    hooks = {
        "resid_post": ("model.layers.7.output", "model.layers.7.output"),
        "transcoder": (
            "model.layers.7.pre_feedforward_layernorm.output",
            "model.layers.7.post_feedforward_layernorm.output",
        ),
    }
    for name, place, affine in (
        ("resid_post", "resid_post", False),
        ("transcoder", "transcoder", False),
        ("transcoder_affine", "transcoder", True),
    ):
        w = weights(D if place == "resid_post" else D - 2)
        folder = root / "gemma_scope_2" / name
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {key: w[known] for key, known in (("w_enc", "W_enc"), ("w_dec", "W_dec"))}
        tensors |= {key: w[key] for key in ("b_enc", "b_dec", "threshold")}
        config: dict[str, Any] = {"architecture": "jump_relu", "affine_connection": affine, "width": WIDTH, "l0": 4}
        config |= {"model_name": "gemma-v3-1b-pt" if affine else "google/gemma-3-1b-pt"}
        config |= {"hf_hook_point_in": hooks[place][0], "hf_hook_point_out": hooks[place][1]}
        config["type"] = "transcoder" if place == "transcoder" else "sae"
        if affine:
            tensors["affine_skip_connection"] = w["W_skip"]
        save_file(tensors, folder / "params.safetensors")
        (folder / "config.json").write_text(json.dumps(config))
        v = wide(w)
        codes = jump(x.double() @ v["W_enc"] + v["b_enc"], v["threshold"])
        out = codes @ v["W_dec"] + v["b_dec"]
        write_record(folder, x, codes, out + x.double() @ v["W_skip"] if affine else out)
    crosscoder = root / "gemma_scope_2" / "crosscoder" / "layer_5_9_12_width_72"
    gemma_crosscoder(crosscoder, causal=True)
    gemma_crosscoder(crosscoder.with_name(f"{crosscoder.name}_all"), causal=False)


def gemma_crosscoder(folder: Path, causal: bool) -> None:
    """A crosscoder of three layers, by the equations of the release's own tutorial: a file a layer, stacked.

    Its features write to no earlier layer, as the report says, and its configuration says which layers; or they write
    to all, as the tutorial's equations would allow, and the folder's name alone says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layers = []
    for layer in range(3):
        tensors = {"w_enc": random(D, WIDTH, seed=layer), "b_enc": random(WIDTH, seed=layer + 9) / 2}
        tensors |= {"w_dec": random(WIDTH, 3, D, seed=layer) / 3, "b_dec": random(D, seed=layer + 19)}
        tensors |= {"threshold": random(WIDTH, seed=layer + 29).abs()}
        if causal:
            tensors["w_dec"][:, :layer] = 0
        save_file(tensors, folder / f"params_layer_{layer}.safetensors")
        layers.append(tensors)
    if causal:
        config = {"architecture": "jump_relu", "model_name": "google/gemma-3-270m-pt", "type": "crosscoder", "l0": 4}
        hooks = dict.fromkeys(("hf_hook_point_in", "hf_hook_point_out"), "model.layers.{5,9,12}.output")
        config |= {**hooks, "width": 3 * WIDTH, "affine_connection": False}
        (folder / "config.json").write_text(json.dumps(config))
    v = {name: torch.stack([tensors[name] for tensors in layers]).double() for name in layers[0]}
    x = random(ROWS, 3 * D, seed=90)
    codes = jump(torch.einsum("bli,lif->blf", x.double().unflatten(1, (3, D)), v["w_enc"]) + v["b_enc"], v["threshold"])
    out = torch.einsum("blf,lfmo->bmo", codes, v["w_dec"]) + v["b_dec"]
    write_record(folder, x, codes.flatten(1), out.flatten(1))


def llama_scope(root: Path) -> None:
    w, x, norm, threshold = weights(), random(ROWS, D, seed=90), 5.5, 0.4
    folder = root / "llama_scope" / "L15R-8x"
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    config = {
        "act_fn": "jumprelu",
        "d_model": D,
        "d_sae": WIDTH,
        "jump_relu_threshold": threshold,
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "hook_point_in": "blocks.15.hook_resid_post",
        "hook_point_out": "blocks.15.hook_resid_post",
        "apply_decoder_bias_to_pre_encoder": False,
    }
    (folder / "hyperparams.json").write_text(json.dumps(config))
    save_file(
        {
            "encoder.weight": w["W_enc"].T.contiguous(),
            "encoder.bias": w["b_enc"],
            "decoder.weight": w["W_dec"].T.contiguous(),
            "decoder.bias": w["b_dec"],
        },
        folder / "checkpoints" / "final.safetensors",
    )
    v, factor = wide(w), D**0.5 / norm
    pre = x.double() * factor @ v["W_enc"] + v["b_enc"]
    codes = jump(pre, torch.full((WIDTH,), threshold * factor, dtype=torch.float64))
    write_record(folder, x, codes, (codes @ v["W_dec"] + v["b_dec"]) / factor)


def openai(root: Path) -> None:
    w, x = weights(), random(ROWS, D, seed=90) * 3 + 1
    tensors = {
        "pre_bias": w["b_dec"],
        "latent_bias": w["b_enc"],
        "encoder.weight": w["W_enc"].T.contiguous(),
        "decoder.weight": w["W_dec"].T.contiguous(),
        "stats_last_nonzero": torch.zeros(WIDTH, dtype=torch.long),
    }
    folder = root / "openai"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({**tensors, "activation": "ReLU", "activation_state_dict": {}}, folder / "relu.pt")
    state = {"k": K, "postact_fn": "ReLU"}
    torch.save({**tensors, "activation": "TopK", "activation_state_dict": state}, folder / "topk.pt")
    v = wide(w)
    codes = ((x.double() - v["b_dec"]) @ v["W_enc"] + v["b_enc"]).relu()
    write_record(folder / "relu.pt", x, codes, codes @ v["W_dec"] + v["b_dec"])
    mean = x.double().mean(1, keepdim=True)
    deviation = ((x.double() - mean).square().sum(1, keepdim=True) / (D - 1)).sqrt()
    pre = ((x.double() - mean) / (deviation + 1e-5) - v["b_dec"]) @ v["W_enc"] + v["b_enc"]
    top = pre.topk(K)
    codes = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
    write_record(folder / "topk.pt", x, codes, (codes @ v["W_dec"] + v["b_dec"]) * deviation + mean)


def linear_pair(root: Path) -> None:
    w, x = weights(), random(ROWS, D, seed=90)
    folder = root / "linear_pair"
    folder.mkdir(parents=True, exist_ok=True)
    for name, suffix in {"deepseek-l19.pt": "", "goodfire-l19.pth": "_linear"}.items():
        tensors = {
            f"encoder{suffix}.weight": w["W_enc"].T.contiguous(),
            f"encoder{suffix}.bias": w["b_enc"],
            f"decoder{suffix}.weight": w["W_dec"].T.contiguous(),
            f"decoder{suffix}.bias": w["b_dec"],
        }
        torch.save(tensors, folder / name)
        v = wide(w)
        codes = (x.double() @ v["W_enc"] + v["b_enc"]).relu()
        write_record(folder / name, x, codes, codes @ v["W_dec"] + v["b_dec"])


def circuit_tracer(root: Path) -> None:
    x = random(ROWS, D, seed=90)
    sets = root / "circuit_tracer"
    for layer, skip in ((0, False), (1, True)):
        w = weights()
        w["W_enc"] = w["W_enc"] * (1 + layer)
        folder = sets / "per_layer"
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"W_enc": w["W_enc"].T.contiguous(), **{name: w[name] for name in ("b_enc", "W_dec", "b_dec")}}
        if skip:
            tensors["W_skip"] = w["W_skip"].T.contiguous()
        save_file(tensors, folder / f"layer_{layer}.safetensors")
        v = wide(w)
        codes = (x.double() @ v["W_enc"] + v["b_enc"]).relu()
        out = codes @ v["W_dec"] + v["b_dec"]
        write_record(folder / f"layer_{layer}.safetensors", x, codes, out + x.double() @ v["W_skip"] if skip else out)
    cross_layer(sets / "cross_layer", x)
    for folder, kind in (("per_layer", "transcoder_set"), ("cross_layer", "cross_layer_transcoder")):
        lines = ["model_name: google/gemma-2-2b", f"model_kind: {kind}", "feature_input_hook: mlp.hook_in"]
        (sets / folder / "config.yaml").write_text("\n".join([*lines, "feature_output_hook: mlp.hook_out"]) + "\n")


def cross_layer(folder: Path, x: torch.Tensor) -> None:
    """Two layers: the first writes both outputs, the second its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for layer in (0, 1):
        w = weights((2 - layer) * D)
        encoder = {f"W_enc_{layer}": w["W_enc"].T.contiguous(), f"b_enc_{layer}": w["b_enc"]}
        encoder |= {f"b_dec_{layer}": w["b_dec"][:D].clone(), f"threshold_{layer}": w["threshold"]}
        save_file(
            {**encoder, f"W_skip_{layer}": w["W_skip"][:, :D].contiguous()}, folder / f"W_enc_{layer}.safetensors"
        )
        decoder = w["W_dec"].unflatten(1, (2 - layer, D)).contiguous()
        save_file({f"W_dec_{layer}": decoder}, folder / f"W_dec_{layer}.safetensors")
        v = wide(w)
        pre = x.double() @ v["W_enc"] + v["b_enc"]
        codes = pre * (pre > v["threshold"])
        out = codes @ v["W_dec"]
        out[:, :D] += v["b_dec"][:D] + x.double() @ v["W_skip"][:, :D]
        write_record(folder / f"W_enc_{layer}.safetensors", x, codes, out)


MAKERS: dict[str, Callable[[Path], None]] = {
    "saelens": saelens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
    "circuit_tracer": traced,
    "temporal": temporal,
}
LOADERS = {"saelens": load_saelens, "dictionary_learning": load_dictionary_learning, "sparsify": load_sparsify}


def make(root: Path) -> None:
    with torch.no_grad():
        for name, maker in MAKERS.items():
            maker(root / name)
        documented(root)
        published(root)


def check(root: Path) -> None:
    checked = 0
    for path in sorted(root.glob("*/*.recorded.safetensors")):
        folder, recorded = path.with_name(path.name.removesuffix(".recorded.safetensors")), load_file(path)
        with torch.no_grad():
            codes, out = LOADERS[path.parent.name](folder, recorded["x"])
        for name, found in (("codes", codes), ("out", out)):
            torch.testing.assert_close(found, recorded[name], rtol=1e-5, atol=1e-5, msg=f"{name} of {folder}")
        checked += 1
    print(f"{checked} dictionaries are to their libraries what they are to monosema")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
