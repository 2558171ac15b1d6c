"""Denoising transformers. Each function builds one naming from the numbers of a configuration; where numbers and names
were read is said beside each call in `make_corpus.py`."""

from notation import Listing, span

# --- FLUX and its relatives -------------------------------------------------------------------------------------------


def flux_double(x: Listing, depth: int, hidden: int, mlp: int, modulation: str | None, scale: str, bias: bool, gated: bool) -> None:
    block = f"double_blocks.{span(depth)}.{{img,txt}}"
    if modulation:
        x.linear(f"{block}_mod.{modulation}", 6 * hidden, hidden)
    x.linear(f"{block}_attn.qkv", 3 * hidden, hidden, bias).linear(f"{block}_attn.proj", hidden, hidden, bias)
    x.tensor(f"{block}_attn.norm.{{query,key}}_norm.{scale}", 128)
    if gated:
        x.linear(f"{block}_mlp.{{gate,up}}_proj", mlp, hidden).linear(f"{block}_mlp.down_proj", hidden, mlp)
    else:
        x.linear(f"{block}_mlp.0", mlp * (1 if bias else 2), hidden, bias).linear(f"{block}_mlp.2", hidden, mlp, bias)


def flux_single(x: Listing, depth: int, hidden: int, mlp: int, modulated: bool, scale: str, bias: bool, gated: bool) -> None:
    block = f"single_blocks.{span(depth)}"
    if modulated:
        x.linear(f"{block}.modulation.lin", 3 * hidden, hidden)
    x.linear(f"{block}.linear1", 3 * hidden + mlp * (2 if gated else 1), hidden, bias)
    x.linear(f"{block}.linear2", hidden, hidden + mlp, bias)
    x.tensor(f"{block}.norm.{{query,key}}_norm.{scale}", 128)


def flux1(channels: int = 64, guidance: bool = True, depth: int = 19, single: int = 38, scale: str = "scale", hidden: int = 3072,
          text: int = 4096, pooled: int | None = 768, out: int = 64) -> Listing:
    x = Listing().linear("img_in", hidden, channels).linear("txt_in", hidden, text)
    x.linear("time_in.in_layer", hidden, 256).linear("time_in.out_layer", hidden, hidden)
    if pooled:
        x.linear("vector_in.in_layer", hidden, pooled).linear("vector_in.out_layer", hidden, hidden)
    if guidance:
        x.linear("guidance_in.in_layer", hidden, 256).linear("guidance_in.out_layer", hidden, hidden)
    flux_double(x, depth, hidden, 4 * hidden, "lin", scale, True, False)
    flux_single(x, single, hidden, 4 * hidden, True, scale, True, False)
    x.linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden)
    return x.linear("final_layer.linear", out, hidden)


def flux2(hidden: int, depth: int, single: int, text: int, guidance: bool) -> Listing:
    x = Listing().linear("img_in", hidden, 128, False).linear("txt_in", hidden, text, False)
    x.linear("{time_in,guidance_in}.in_layer" if guidance else "time_in.in_layer", hidden, 256, False)
    x.linear("{time_in,guidance_in}.out_layer" if guidance else "time_in.out_layer", hidden, hidden, False)
    x.linear("double_stream_modulation_{img,txt}.lin", 6 * hidden, hidden, False)
    x.linear("single_stream_modulation.lin", 3 * hidden, hidden, False)
    flux_double(x, depth, hidden, 3 * hidden, None, "scale", False, False)
    flux_single(x, single, hidden, 3 * hidden, False, "scale", False, True)
    x.linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden, False)
    return x.linear("final_layer.linear", 128, hidden, False)


def flux2_diffusers(hidden: int, depth: int, single: int, text: int, guidance: bool) -> Listing:
    x = Listing().linear("x_embedder", hidden, 128, False).linear("context_embedder", hidden, text, False)
    kinds = "{timestep,guidance}" if guidance else "timestep"
    x.linear(f"time_guidance_embed.{kinds}_embedder.linear_1", hidden, 256, False)
    x.linear(f"time_guidance_embed.{kinds}_embedder.linear_2", hidden, hidden, False)
    x.linear("double_stream_modulation_{img,txt}.linear", 6 * hidden, hidden, False)
    x.linear("single_stream_modulation.linear", 3 * hidden, hidden, False)
    block = f"transformer_blocks.{span(depth)}"
    x.linear(f"{block}.attn.{{to_q,to_k,to_v,to_out.0,add_q_proj,add_k_proj,add_v_proj,to_add_out}}", hidden, hidden, False)
    x.tensor(f"{block}.attn.norm_{{q,k,added_q,added_k}}.weight", 128)
    x.linear(f"{block}.{{ff,ff_context}}.linear_in", 6 * hidden, hidden, False)
    x.linear(f"{block}.{{ff,ff_context}}.linear_out", hidden, 3 * hidden, False)
    block = f"single_transformer_blocks.{span(single)}"
    x.linear(f"{block}.attn.to_qkv_mlp_proj", 9 * hidden, hidden, False).linear(f"{block}.attn.to_out", hidden, 4 * hidden, False)
    x.tensor(f"{block}.attn.norm_{{q,k}}.weight", 128)
    return x.linear("norm_out.linear", 2 * hidden, hidden, False).linear("proj_out", 128, hidden, False)


def chroma(radiance: bool = False) -> Listing:
    hidden = 3072
    x = Listing().linear("txt_in", hidden, 4096)
    if radiance:
        x.conv("img_in_patch", hidden, 3, 16, 16)
        x.linear("nerf_image_embedder.embedder.0", 64, 67).tensor("nerf_blocks.{0-3}.norm.scale", 64)
        x.linear("nerf_blocks.{0-3}.param_generator", 49152, hidden)
        x.conv("nerf_final_layer_conv.conv", 3, 64, 3, 3).tensor("nerf_final_layer_conv.norm.scale", 64)
    else:
        x.linear("img_in", hidden, 64).linear("final_layer.linear", 64, hidden)
    x.linear("distilled_guidance_layer.in_proj", 5120, 64).linear("distilled_guidance_layer.layers.{0-4}.{in,out}_layer", 5120, 5120)
    x.tensor("distilled_guidance_layer.norms.{0-4}.scale", 5120).linear("distilled_guidance_layer.out_proj", hidden, 5120)
    flux_double(x, 19, hidden, 12288, None, "scale", True, False)
    flux_single(x, 38, hidden, 12288, False, "scale", True, False)
    return x


def ovis() -> Listing:
    hidden = 3072
    x = Listing().linear("img_in", hidden, 64).linear("txt_in", hidden, 2048).tensor("semantic_txt_norm.weight", 2048)
    x.linear("time_in.in_layer", hidden, 256).linear("time_in.out_layer", hidden, hidden)
    flux_double(x, 6, hidden, 12288, "lin", "weight", True, True)
    flux_single(x, 27, hidden, 12288, True, "weight", True, True)
    return x.linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden).linear("final_layer.linear", 64, hidden)


def flux_diffusers(hidden: int = 3072, depth: int = 19, single: int = 38, channels: int = 64, text: int = 4096, out: int = 64,
                   time: str = "time_text_embed", pooled: int | None = 768, guidance: bool = True, ff: str = "gelu",
                   normed_text: bool = False) -> Listing:
    x = Listing().linear("x_embedder", hidden, channels).linear("context_embedder", hidden, text)
    stem = f"{time}." if time else ""
    x.linear(f"{stem}timestep_embedder.linear_1", hidden, 256).linear(f"{stem}timestep_embedder.linear_2", hidden, hidden)
    if guidance:
        x.linear(f"{stem}guidance_embedder.linear_1", hidden, 256).linear(f"{stem}guidance_embedder.linear_2", hidden, hidden)
    if pooled:
        x.linear(f"{stem}text_embedder.linear_1", hidden, pooled).linear(f"{stem}text_embedder.linear_2", hidden, hidden)
    if normed_text:
        x.tensor("context_embedder_norm.weight", text)
    mlp = 4 * hidden
    block = f"transformer_blocks.{span(depth)}"
    x.linear(f"{block}.{{norm1,norm1_context}}.linear", 6 * hidden, hidden)
    x.linear(f"{block}.attn.{{to_q,to_k,to_v,to_out.0,add_q_proj,add_k_proj,add_v_proj,to_add_out}}", hidden, hidden)
    x.tensor(f"{block}.attn.norm_{{q,k,added_q,added_k}}.weight", 128)
    x.linear(f"{block}.{{ff,ff_context}}.net.0.proj", mlp * (2 if ff == "swiglu" else 1), hidden)
    x.linear(f"{block}.{{ff,ff_context}}.net.2", hidden, mlp)
    block = f"single_transformer_blocks.{span(single)}"
    x.linear(f"{block}.norm.linear", 3 * hidden, hidden).linear(f"{block}.attn.to_{{q,k,v}}", hidden, hidden)
    x.tensor(f"{block}.attn.norm_{{q,k}}.weight", 128)
    x.linear(f"{block}.proj_mlp", mlp * (2 if ff == "swiglu" else 1), hidden).linear(f"{block}.proj_out", hidden, hidden + mlp)
    return x.linear("norm_out.linear", 2 * hidden, hidden).linear("proj_out", out, hidden)


def hunyuan_video(original: bool, hidden: int = 3072, depth: int = 20, single: int = 40, channels: int = 16, text: int = 4096,
                  guidance: bool = True, pooled: int | None = 768, image: bool = False) -> Listing:
    """`original` are Tencent's names; without it the repack that ComfyUI distributes."""
    x = Listing().conv("img_in.proj", hidden, channels, *((1, 1) if image else (1, 2, 2)))
    x.linear("txt_in.input_embedder", hidden, text)
    x.linear("txt_in.t_embedder.mlp.0" if original else "txt_in.t_embedder.in_layer", hidden, 256)
    x.linear("txt_in.t_embedder.mlp.2" if original else "txt_in.t_embedder.out_layer", hidden, hidden)
    x.linear("txt_in.c_embedder.linear_1" if original else "txt_in.c_embedder.in_layer", hidden, text)
    x.linear("txt_in.c_embedder.linear_2" if original else "txt_in.c_embedder.out_layer", hidden, hidden)
    refiner = "txt_in.individual_token_refiner.blocks.{0,1}"
    dot = "_" if original else "."
    x.norm(f"{refiner}.norm{{1,2}}", hidden).linear(f"{refiner}.self_attn{dot}qkv", 3 * hidden, hidden)
    x.linear(f"{refiner}.self_attn{dot}proj", hidden, hidden)
    x.linear(f"{refiner}.mlp.{'fc1' if original else '0'}", 4 * hidden, hidden).linear(f"{refiner}.mlp.{'fc2' if original else '2'}", hidden, 4 * hidden)
    x.linear(f"{refiner}.adaLN_modulation.1", 2 * hidden, hidden)
    parts = ["time_in"] + (["guidance_in"] if guidance else [])
    for part in parts:
        x.linear(f"{part}.mlp.0" if original else f"{part}.in_layer", hidden, 256)
        x.linear(f"{part}.mlp.2" if original else f"{part}.out_layer", hidden, hidden)
    if pooled:
        x.linear("vector_in.in_layer", hidden, pooled).linear("vector_in.out_layer", hidden, hidden)
    if original:
        block = f"double_blocks.{span(depth)}.{{img,txt}}"
        x.linear(f"{block}_mod.linear", 6 * hidden, hidden).linear(f"{block}_attn_qkv", 3 * hidden, hidden)
        x.linear(f"{block}_attn_proj", hidden, hidden).tensor(f"{block}_attn_{{q,k}}_norm.weight", 128)
        x.linear(f"{block}_mlp.fc1", 4 * hidden, hidden).linear(f"{block}_mlp.fc2", hidden, 4 * hidden)
        block = f"single_blocks.{span(single)}"
        x.linear(f"{block}.modulation.linear", 3 * hidden, hidden).linear(f"{block}.linear1", 7 * hidden, hidden)
        x.linear(f"{block}.linear2", hidden, 5 * hidden).tensor(f"{block}.{{q,k}}_norm.weight", 128)
    else:
        flux_double(x, depth, hidden, 4 * hidden, "lin", "scale", True, False)
        if single:
            flux_single(x, single, hidden, 4 * hidden, True, "scale", True, False)
    x.linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden)
    return x.linear("final_layer.linear", channels if image else 4 * channels, hidden)


def hunyuan_video_diffusers() -> Listing:
    hidden = 3072
    x = Listing().conv("x_embedder.proj", hidden, 16, 1, 2, 2)
    for stem, first in (("context_embedder.time_text_embed.timestep_embedder", 256), ("context_embedder.time_text_embed.text_embedder", 4096),
                        ("time_text_embed.timestep_embedder", 256), ("time_text_embed.guidance_embedder", 256), ("time_text_embed.text_embedder", 768)):
        x.linear(f"{stem}.linear_1", hidden, first).linear(f"{stem}.linear_2", hidden, hidden)
    x.linear("context_embedder.proj_in", hidden, 4096)
    block = "context_embedder.token_refiner.refiner_blocks.{0,1}"
    x.norm(f"{block}.norm{{1,2}}", hidden).linear(f"{block}.attn.{{to_q,to_k,to_v,to_out.0}}", hidden, hidden)
    x.linear(f"{block}.ff.net.0.proj", 4 * hidden, hidden).linear(f"{block}.ff.net.2", hidden, 4 * hidden).linear(f"{block}.norm_out.linear", 2 * hidden, hidden)
    rest = flux_diffusers(depth=20, single=40)
    x.lines += [line for line in rest.lines if line.startswith(("transformer_blocks", "single_transformer_blocks", "norm_out", "proj_out"))]
    return x


# --- Other transformers ----------------------------------------------------------------------------------------------


def sd3(width: int, positions: int, dual: int = 0, qk_norm: bool = False) -> Listing:
    depth = width // 64
    x = Listing().conv("x_embedder.proj", width, 16, 2, 2).tensor("pos_embed", 1, positions, width)
    x.linear("context_embedder", width, 4096).linear("t_embedder.mlp.0", width, 256).linear("t_embedder.mlp.2", width, width)
    x.linear("y_embedder.mlp.0", width, 2048).linear("y_embedder.mlp.2", width, width)
    last = depth - 1
    for blocks, side in ((span(depth), "x_block"), (span(last), "context_block")):
        stem = f"joint_blocks.{blocks}.{side}"
        x.linear(f"{stem}.attn.qkv", 3 * width, width).linear(f"{stem}.attn.proj", width, width)
        x.linear(f"{stem}.mlp.fc1", 4 * width, width).linear(f"{stem}.mlp.fc2", width, 4 * width)
        if qk_norm:
            x.tensor(f"{stem}.attn.ln_{{q,k}}.weight", 64)
    if qk_norm:
        x.tensor(f"joint_blocks.{last}.context_block.attn.ln_{{q,k}}.weight", 64)
    x.linear(f"joint_blocks.{last}.context_block.attn.qkv", 3 * width, width)
    x.linear(f"joint_blocks.{last}.context_block.adaLN_modulation.1", 2 * width, width)
    x.linear(f"joint_blocks.{span(last)}.context_block.adaLN_modulation.1", 6 * width, width)
    if dual:
        x.linear(f"joint_blocks.{span(dual)}.x_block.attn2.qkv", 3 * width, width).linear(f"joint_blocks.{span(dual)}.x_block.attn2.proj", width, width)
        x.tensor(f"joint_blocks.{span(dual)}.x_block.attn2.ln_{{q,k}}.weight", 64)
        x.linear(f"joint_blocks.{span(dual)}.x_block.adaLN_modulation.1", 9 * width, width)
        x.linear(f"joint_blocks.{{{dual}-{last}}}.x_block.adaLN_modulation.1", 6 * width, width)
    else:
        x.linear(f"joint_blocks.{span(depth)}.x_block.adaLN_modulation.1", 6 * width, width)
    return x.linear("final_layer.adaLN_modulation.1", 2 * width, width).linear("final_layer.linear", 64, width)


def sd3_diffusers(width: int, positions: int, dual: int = 0, qk_norm: bool = False, layers: int | None = None) -> Listing:
    depth = layers or width // 64
    x = Listing().conv("pos_embed.proj", width, 16, 2, 2).tensor("pos_embed.pos_embed", 1, positions, width).linear("context_embedder", width, 4096)
    for part, first in (("timestep", 256), ("text", 2048)):
        x.linear(f"time_text_embed.{part}_embedder.linear_1", width, first).linear(f"time_text_embed.{part}_embedder.linear_2", width, width)
    block = f"transformer_blocks.{span(depth)}"
    x.linear(f"{block}.attn.{{to_q,to_k,to_v,to_out.0,add_q_proj,add_k_proj,add_v_proj}}", width, width)
    x.linear(f"transformer_blocks.{span(depth - 1)}.attn.to_add_out", width, width)
    if qk_norm:
        x.tensor(f"{block}.attn.norm_{{q,k,added_q,added_k}}.weight", 64)
    x.linear(f"transformer_blocks.{span(depth - 1)}.norm1_context.linear", 6 * width, width)
    x.linear(f"transformer_blocks.{depth - 1}.norm1_context.linear", 2 * width, width)
    if dual:
        x.linear(f"transformer_blocks.{span(dual)}.attn2.{{to_q,to_k,to_v,to_out.0}}", width, width)
        x.tensor(f"transformer_blocks.{span(dual)}.attn2.norm_{{q,k}}.weight", 64)
        x.linear(f"transformer_blocks.{span(dual)}.norm1.linear", 9 * width, width).linear(f"transformer_blocks.{{{dual}-{depth - 1}}}.norm1.linear", 6 * width, width)
    else:
        x.linear(f"{block}.norm1.linear", 6 * width, width)
    x.linear(f"{block}.ff.net.0.proj", 4 * width, width).linear(f"{block}.ff.net.2", width, 4 * width)
    x.linear(f"transformer_blocks.{span(depth - 1)}.ff_context.net.0.proj", 4 * width, width).linear(f"transformer_blocks.{span(depth - 1)}.ff_context.net.2", width, 4 * width)
    return x.linear("norm_out.linear", 2 * width, width).linear("proj_out", 64, width)


def auraflow() -> Listing:
    w = 3072
    x = Listing().linear("init_x_linear", w, 16).linear("cond_seq_linear", w, 2048, False).linear("t_embedder.mlp.0", w, 256).linear("t_embedder.mlp.2", w, w)
    x.tensor("positional_encoding", 1, 4096, w).tensor("register_tokens", 1, 8, w)
    x.linear("double_layers.{0-3}.attn.w{1,2}{q,k,v,o}", w, w, False).linear("double_layers.{0-3}.mlp{X,C}.c_fc{1,2}", 8192, w, False)
    x.linear("double_layers.{0-3}.mlp{X,C}.c_proj", w, 8192, False).linear("double_layers.{0-3}.mod{X,C}.1", 6 * w, w, False)
    x.linear("single_layers.{0-31}.attn.w1{q,k,v,o}", w, w, False).linear("single_layers.{0-31}.mlp.c_fc{1,2}", 8192, w, False)
    x.linear("single_layers.{0-31}.mlp.c_proj", w, 8192, False).linear("single_layers.{0-31}.modCX.1", 6 * w, w, False)
    return x.linear("modF.1", 2 * w, w, False).linear("final_linear", 16, w, False)


def auraflow_diffusers() -> Listing:
    w = 3072
    x = Listing().linear("pos_embed.proj", w, 16).tensor("pos_embed.pos_embed", 1, 4096, w).linear("context_embedder", w, 2048, False)
    x.linear("time_step_proj.linear_1", w, 256).linear("time_step_proj.linear_2", w, w).tensor("register_tokens", 1, 8, w)
    block = "joint_transformer_blocks.{0-3}"
    x.linear(f"{block}.{{norm1,norm1_context}}.linear", 6 * w, w, False)
    x.linear(f"{block}.attn.{{to_q,to_k,to_v,to_out.0,add_q_proj,add_k_proj,add_v_proj,to_add_out}}", w, w, False)
    x.linear(f"{block}.{{ff,ff_context}}.linear_{{1,2}}", 8192, w, False).linear(f"{block}.{{ff,ff_context}}.out_projection", w, 8192, False)
    block = "single_transformer_blocks.{0-31}"
    x.linear(f"{block}.norm1.linear", 6 * w, w, False).linear(f"{block}.attn.{{to_q,to_k,to_v,to_out.0}}", w, w, False)
    x.linear(f"{block}.ff.linear_{{1,2}}", 8192, w, False).linear(f"{block}.ff.out_projection", w, 8192, False)
    return x.linear("norm_out.linear", 2 * w, w, False).linear("proj_out", 16, w, False)


def hunyuan_dit() -> Listing:
    w = 1408
    x = Listing().conv("x_embedder.proj", w, 4, 2, 2).linear("mlp_t5.0", 8192, 2048).linear("mlp_t5.2", 1024, 8192).tensor("text_embedding_padding", 333, 1024)
    x.linear("pooler.{k,q,v}_proj", 2048, 2048).linear("pooler.c_proj", 1024, 2048).linear("t_embedder.mlp.0", w, 256).linear("t_embedder.mlp.2", w, w)
    x.linear("extra_embedder.0", 4 * w, 1024).linear("extra_embedder.2", w, 4 * w)
    b = "blocks.{0-39}"
    x.norm(f"{b}.norm{{1-3}}", w).linear(f"{b}.attn1.Wqkv", 3 * w, w).linear(f"{b}.attn1.out_proj", w, w).norm(f"{b}.attn{{1,2}}.{{q,k}}_norm", 88)
    x.linear(f"{b}.attn2.q_proj", w, w).linear(f"{b}.attn2.kv_proj", 2 * w, 1024).linear(f"{b}.attn2.out_proj", w, w)
    x.linear(f"{b}.mlp.fc1", 6144, w).linear(f"{b}.mlp.fc2", w, 6144).linear(f"{b}.default_modulation.1", w, w)
    x.norm("blocks.{21-39}.skip_norm", 2 * w).linear("blocks.{21-39}.skip_linear", w, 2 * w)
    return x.linear("final_layer.linear", 32, w).linear("final_layer.adaLN_modulation.1", 2 * w, w)


def pixart(tokens: int, size_conditions: bool) -> Listing:
    w = 1152
    x = Listing().conv("x_embedder.proj", w, 4, 2, 2).linear("t_embedder.mlp.0", w, 256).linear("t_embedder.mlp.2", w, w).linear("t_block.1", 6 * w, w)
    x.tensor("y_embedder.y_embedding", tokens, 4096).linear("y_embedder.y_proj.fc1", w, 4096).linear("y_embedder.y_proj.fc2", w, w)
    if size_conditions:
        x.linear("{csize,ar}_embedder.mlp.0", 384, 256).linear("{csize,ar}_embedder.mlp.2", 384, 384)
    b = "blocks.{0-27}"
    x.tensor(f"{b}.scale_shift_table", 6, w).linear(f"{b}.attn.qkv", 3 * w, w).linear(f"{b}.attn.proj", w, w)
    x.linear(f"{b}.cross_attn.q_linear", w, w).linear(f"{b}.cross_attn.kv_linear", 2 * w, w).linear(f"{b}.cross_attn.proj", w, w)
    x.linear(f"{b}.mlp.fc1", 4 * w, w).linear(f"{b}.mlp.fc2", w, 4 * w)
    return x.tensor("final_layer.scale_shift_table", 2, w).linear("final_layer.linear", 32, w)


def pixart_diffusers(size_conditions: bool) -> Listing:
    w = 1152
    x = Listing().conv("pos_embed.proj", w, 4, 2, 2).linear("adaln_single.emb.timestep_embedder.linear_1", w, 256).linear("adaln_single.emb.timestep_embedder.linear_2", w, w)
    if size_conditions:
        x.linear("adaln_single.emb.{resolution,aspect_ratio}_embedder.linear_1", 384, 256).linear("adaln_single.emb.{resolution,aspect_ratio}_embedder.linear_2", 384, 384)
    x.linear("adaln_single.linear", 6 * w, w).linear("caption_projection.linear_1", w, 4096).linear("caption_projection.linear_2", w, w)
    b = "transformer_blocks.{0-27}"
    x.tensor(f"{b}.scale_shift_table", 6, w).linear(f"{b}.attn{{1,2}}.{{to_q,to_k,to_v,to_out.0}}", w, w)
    x.linear(f"{b}.ff.net.0.proj", 4 * w, w).linear(f"{b}.ff.net.2", w, 4 * w)
    return x.tensor("scale_shift_table", 2, w).linear("proj_out", 32, w)


def next_dit(width: int, head: int, kv: int, caption: int, layers: int, ffn: int, modulation: int, pads: bool) -> Listing:
    """Lumina Image 2.0, Z-Image and NetaYume in the authors' names."""
    x = Listing().linear("x_embedder", width, 64).norm("cap_embedder.0", caption, False).linear("cap_embedder.1", width, caption)
    small = min(width, 1024 if not pads else 256)
    x.linear("t_embedder.mlp.0", 1024, 256).linear("t_embedder.mlp.2", small, 1024)
    if pads:
        x.tensor("{cap,x}_pad_token", 1, width)
    for stem, modulated in ((f"layers.{span(layers)}", True), ("noise_refiner.{0,1}", True), ("context_refiner.{0,1}", False)):
        x.linear(f"{stem}.attention.qkv", width + 2 * kv, width, False).linear(f"{stem}.attention.out", width, width, False)
        x.tensor(f"{stem}.attention.{{q,k}}_norm.weight", head).linear(f"{stem}.feed_forward.w{{1,3}}", ffn, width, False)
        x.linear(f"{stem}.feed_forward.w2", width, ffn, False).tensor(f"{stem}.{{attention,ffn}}_norm{{1,2}}.weight", width)
        if modulated:
            x.linear(f"{stem}.adaLN_modulation.{modulation}", 4 * width, small)
    return x.linear("final_layer.adaLN_modulation.1", width, small).linear("final_layer.linear", 64, width)


def lumina_next() -> Listing:
    w = 2304
    x = Listing().linear("x_embedder", w, 16).tensor("pad_token", w).norm("cap_embedder.0", 2048).linear("cap_embedder.1", 1024, 2048)
    x.linear("t_embedder.mlp.0", 1024, 256).linear("t_embedder.mlp.2", 1024, 1024)
    b = "layers.{0-23}"
    x.linear(f"{b}.attention.w{{q,o}}", w, w, False).linear(f"{b}.attention.w{{k,v}}", 576, w, False).linear(f"{b}.attention.w{{k,v}}_y", 576, 2048, False)
    x.tensor(f"{b}.attention.gate", 32).norm(f"{b}.attention.q_norm", w).norm(f"{b}.attention.k{{,y}}_norm", 576)
    x.linear(f"{b}.feed_forward.w{{1,3}}", 6144, w, False).linear(f"{b}.feed_forward.w2", w, 6144, False).linear(f"{b}.adaLN_modulation.1", 4 * w, 1024)
    return x.tensor(f"{b}.{{attention,ffn}}_norm{{1,2}}.weight", w).linear("final_layer.linear", 32, w).linear("final_layer.adaLN_modulation.1", w, 1024)


def omnigen2() -> Listing:
    w = 2520
    x = Listing().linear("x_embedder", w, 64).linear("ref_image_patch_embedder", w, 64).tensor("image_index_embedding", 5, w)
    x.linear("time_caption_embed.timestep_embedder.linear_1", 1024, 256).linear("time_caption_embed.timestep_embedder.linear_2", 1024, 1024)
    x.norm("time_caption_embed.caption_embedder.0", 2048, False).linear("time_caption_embed.caption_embedder.1", w, 2048)
    for stem in ("layers.{0-31}", "noise_refiner.{0,1}", "ref_image_refiner.{0,1}", "context_refiner.{0,1}"):
        x.linear(f"{stem}.attn.to_q", w, w, False).linear(f"{stem}.attn.to_{{k,v}}", 840, w, False).linear(f"{stem}.attn.to_out.0", w, w, False)
        x.tensor(f"{stem}.attn.norm_{{q,k}}.weight", 120).linear(f"{stem}.feed_forward.linear_{{1,3}}", 10240, w, False).linear(f"{stem}.feed_forward.linear_2", w, 10240, False)
        if not stem.startswith("context"):
            x.linear(f"{stem}.norm1.linear", 4 * w, 1024)
    return x.linear("norm_out.linear_1", w, 1024).linear("norm_out.linear_2", 64, w)


def qwen_image(layers: int = 60, layered: bool = False) -> Listing:
    w = 3072
    x = Listing().linear("img_in", w, 64).tensor("txt_norm.weight", 3584).linear("txt_in", w, 3584)
    x.linear("time_text_embed.timestep_embedder.linear_1", w, 256).linear("time_text_embed.timestep_embedder.linear_2", w, w)
    if layered:
        x.tensor("time_text_embed.addition_t_embedding.weight", 2, w)
    b = f"transformer_blocks.{span(layers)}"
    x.linear(f"{b}.{{img,txt}}_mod.1", 6 * w, w).linear(f"{b}.attn.{{to_q,to_k,to_v,to_out.0,add_q_proj,add_k_proj,add_v_proj,to_add_out}}", w, w)
    x.tensor(f"{b}.attn.norm_{{q,k,added_q,added_k}}.weight", 128).linear(f"{b}.{{img,txt}}_mlp.net.0.proj", 4 * w, w).linear(f"{b}.{{img,txt}}_mlp.net.2", w, 4 * w)
    return x.linear("norm_out.linear", 2 * w, w).linear("proj_out", 64, w)


def wan(dim: int, ffn: int, layers: int, channels: int, out: int, image: bool = False, vace: int = 0) -> Listing:
    x = Listing().conv("patch_embedding", dim, channels, 1, 2, 2).linear("text_embedding.0", dim, 4096).linear("text_embedding.2", dim, dim)
    x.linear("time_embedding.0", dim, 256).linear("time_embedding.2", dim, dim).linear("time_projection.1", 6 * dim, dim)
    stems = [f"blocks.{span(layers)}"] + ([f"vace_blocks.{span(vace)}"] if vace else [])
    for b in stems:
        x.tensor(f"{b}.modulation", 1, 6, dim).linear(f"{b}.{{self,cross}}_attn.{{q,k,v,o}}", dim, dim).tensor(f"{b}.{{self,cross}}_attn.norm_{{q,k}}.weight", dim)
        x.norm(f"{b}.norm3", dim).linear(f"{b}.ffn.0", ffn, dim).linear(f"{b}.ffn.2", dim, ffn)
        if image:
            x.linear(f"{b}.cross_attn.{{k,v}}_img", dim, dim).tensor(f"{b}.cross_attn.norm_k_img.weight", dim)
    if image:
        x.norm("img_emb.proj.0", 1280).linear("img_emb.proj.1", 1280, 1280).linear("img_emb.proj.3", dim, 1280).norm("img_emb.proj.4", dim)
    if vace:
        x.conv("vace_patch_embedding", dim, 96, 1, 2, 2).linear("vace_blocks.0.before_proj", dim, dim).linear(f"vace_blocks.{span(vace)}.after_proj", dim, dim)
    return x.linear("head.head", 4 * out, dim).tensor("head.modulation", 1, 2, dim)


def wan_diffusers(dim: int, ffn: int, layers: int, channels: int, out: int) -> Listing:
    x = Listing().conv("patch_embedding", dim, channels, 1, 2, 2).linear("condition_embedder.time_embedder.linear_1", dim, 256).linear("condition_embedder.time_embedder.linear_2", dim, dim)
    x.linear("condition_embedder.time_proj", 6 * dim, dim).linear("condition_embedder.text_embedder.linear_1", dim, 4096).linear("condition_embedder.text_embedder.linear_2", dim, dim)
    b = f"blocks.{span(layers)}"
    x.linear(f"{b}.attn{{1,2}}.{{to_q,to_k,to_v,to_out.0}}", dim, dim).tensor(f"{b}.attn{{1,2}}.norm_{{q,k}}.weight", dim).norm(f"{b}.norm2", dim)
    x.linear(f"{b}.ffn.net.0.proj", ffn, dim).linear(f"{b}.ffn.net.2", dim, ffn).tensor(f"{b}.scale_shift_table", 1, 6, dim)
    return x.tensor("scale_shift_table", 1, 2, dim).linear("proj_out", 4 * out, dim)


def ltx(original: bool, width: int = 2048, layers: int = 28, caption: int = 4096, audio: bool = False) -> Listing:
    time = "adaln_single" if original else "time_embed"
    x = Listing().linear("patchify_proj" if original else "proj_in", width, 128)
    x.linear(f"{time}.emb.timestep_embedder.linear_1", width, 256).linear(f"{time}.emb.timestep_embedder.linear_2", width, width).linear(f"{time}.linear", 6 * width, width)
    x.linear("caption_projection.linear_1", width, caption).linear("caption_projection.linear_2", width, width)
    b = f"transformer_blocks.{span(layers)}"
    x.linear(f"{b}.attn1.{{to_q,to_k,to_v,to_out.0}}", width, width).linear(f"{b}.attn2.{{to_q,to_out.0}}", width, width).linear(f"{b}.attn2.to_{{k,v}}", width, width)
    x.tensor(f"{b}.attn{{1,2}}.{'{q,k}_norm' if original else 'norm_{q,k}'}.weight", width)
    x.linear(f"{b}.ff.net.0.proj", 4 * width, width).linear(f"{b}.ff.net.2", width, 4 * width).tensor(f"{b}.scale_shift_table", 6, width)
    if audio:
        x.linear("audio_patchify_proj", 2048, 128).linear("audio_adaln_single.emb.timestep_embedder.linear_1", 2048, 256)
        x.linear("audio_adaln_single.linear", 6 * 2048, 2048).linear("av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1", width, 256)
        x.linear(f"{b}.audio_attn1.{{to_q,to_k,to_v,to_out.0}}", 2048, 2048)
    return x.tensor("scale_shift_table", 2, width).linear("proj_out", 128, width)


def mochi() -> Listing:
    w = 3072
    x = Listing().conv("x_embedder.proj", w, 12, 2, 2).tensor("pos_frequencies", 3, 24, 64).linear("t_embedder.mlp.0", w, 256).linear("t_embedder.mlp.2", w, w)
    x.linear("t5_y_embedder.to_kv", 8192, 4096).linear("t5_y_embedder.to_q", 4096, 4096).linear("t5_y_embedder.to_out", w, 4096).linear("t5_yproj", 1536, 4096)
    b, both = "blocks.{0-47}", "blocks.{0-46}"
    x.linear(f"{b}.mod_x", 4 * w, w).linear(f"{both}.mod_y", 4 * 1536, w).linear("blocks.47.mod_y", 1536, w).linear(f"{b}.attn.qkv_x", 3 * w, w, False).linear(f"{b}.attn.qkv_y", 3 * w, 1536, False)
    x.tensor(f"{b}.attn.{{q,k}}_norm_{{x,y}}.weight", 128).linear(f"{b}.attn.proj_x", w, w).linear(f"{both}.attn.proj_y", 1536, w)
    x.linear(f"{b}.mlp_x.w1", 16384, w, False).linear(f"{b}.mlp_x.w2", w, 8192, False).linear(f"{both}.mlp_y.w1", 8192, 1536, False).linear(f"{both}.mlp_y.w2", 1536, 4096, False)
    return x.linear("final_layer.mod", 2 * w, w).linear("final_layer.linear", 48, w)


def mochi_attention() -> Listing:
    """The attention of Mochi in diffusers' names, which is all that its adapters change."""
    b = "transformer_blocks.{0-47}.attn1"
    return Listing().linear(f"{b}.{{to_q,to_k,to_v,to_out.0}}", 3072, 3072, False).linear(f"{b}.add_{{q,k,v}}_proj", 3072, 1536, False)


def cosmos1(width: int, layers: int) -> Listing:
    x = Listing().linear("x_embedder.proj.1", width, 68, False).tensor("extra_pos_embedder.pos_emb_h", 120, width).tensor("extra_pos_embedder.pos_emb_w", 120, width)
    x.tensor("extra_pos_embedder.pos_emb_t", 128, width).tensor("affline_norm.weight", width).linear("t_embedder.1.linear_1", width, width, False).linear("t_embedder.1.linear_2", 3 * width, width, False)
    b = "blocks.block%s.blocks" % span(layers)
    x.linear(f"{b}.{{0,1}}.block.attn.to_q.0", width, width, False).linear(f"{b}.0.block.attn.to_{{k,v}}.0", width, width, False).linear(f"{b}.1.block.attn.to_{{k,v}}.0", width, 1024, False)
    x.tensor(f"{b}.{{0,1}}.block.attn.to_{{q,k}}.1.weight", 128).linear(f"{b}.{{0,1}}.block.attn.to_out.0", width, width, False)
    x.linear(f"{b}.2.block.layer1", 4 * width, width, False).linear(f"{b}.2.block.layer2", width, 4 * width, False)
    x.linear(f"{b}.{{0-2}}.adaLN_modulation.1", 256, width, False).linear(f"{b}.{{0-2}}.adaLN_modulation.2", 3 * width, 256, False)
    return x.linear("final_layer.linear", 64, width, False).linear("final_layer.adaLN_modulation.1", 256, width, False).linear("final_layer.adaLN_modulation.2", 2 * width, 256, False)


def cosmos2(width: int, layers: int, anima: bool = False) -> Listing:
    x = Listing().linear("x_embedder.proj.1", width, 68, False).linear("t_embedder.1.linear_1", width, width, False).linear("t_embedder.1.linear_2", 3 * width, width, False).tensor("t_embedding_norm.weight", width)
    b = f"blocks.{span(layers)}"
    x.linear(f"{b}.adaln_modulation_{{self_attn,cross_attn,mlp}}.1", 256, width, False).linear(f"{b}.adaln_modulation_{{self_attn,cross_attn,mlp}}.2", 3 * width, 256, False)
    x.linear(f"{b}.self_attn.{{q,k,v,output}}_proj", width, width, False).linear(f"{b}.cross_attn.{{q,output}}_proj", width, width, False).linear(f"{b}.cross_attn.{{k,v}}_proj", width, 1024, False)
    x.tensor(f"{b}.{{self,cross}}_attn.{{q,k}}_norm.weight", 128).linear(f"{b}.mlp.layer1", 4 * width, width, False).linear(f"{b}.mlp.layer2", width, 4 * width, False)
    if anima:
        a = "llm_adapter.blocks.{0-5}"
        x.tensor("llm_adapter.embed.weight", 32128, 1024).linear("llm_adapter.out_proj", 1024, 1024).tensor("llm_adapter.norm.weight", 1024)
        x.linear(f"{a}.{{self,cross}}_attn.{{q,k,v,o}}_proj", 1024, 1024, False).tensor(f"{a}.{{self,cross}}_attn.{{q,k}}_norm.weight", 64)
        x.tensor(f"{a}.norm_{{self_attn,cross_attn,mlp}}.weight", 1024).linear(f"{a}.mlp.0", 4096, 1024).linear(f"{a}.mlp.2", 1024, 4096)
    return x.linear("final_layer.linear", 64, width, False).linear("final_layer.adaln_modulation.1", 256, width, False).linear("final_layer.adaln_modulation.2", 2 * width, 256, False)


def cosmos_diffusers(width: int, layers: int, learned: bool) -> Listing:
    x = Listing().linear("patch_embed.proj", width, 68, False).linear("time_embed.t_embedder.linear_1", width, width, False).linear("time_embed.t_embedder.linear_2", 3 * width, width, False).tensor("time_embed.norm.weight", width)
    if learned:
        x.tensor("learnable_pos_embed.pos_emb_t", 128, width).tensor("learnable_pos_embed.pos_emb_{h,w}", 120, width)
    b = f"transformer_blocks.{span(layers)}"
    x.linear(f"{b}.norm{{1-3}}.linear_1", 256, width, False).linear(f"{b}.norm{{1-3}}.linear_2", 3 * width, 256, False)
    x.linear(f"{b}.attn1.{{to_q,to_k,to_v,to_out.0}}", width, width, False).linear(f"{b}.attn2.{{to_q,to_out.0}}", width, width, False).linear(f"{b}.attn2.to_{{k,v}}", width, 1024, False)
    x.tensor(f"{b}.attn{{1,2}}.norm_{{q,k}}.weight", 128).linear(f"{b}.ff.net.0.proj", 4 * width, width, False).linear(f"{b}.ff.net.2", width, 4 * width, False)
    return x.linear("norm_out.linear_1", 256, width, False).linear("norm_out.linear_2", 2 * width, 256, False).linear("proj_out", 64, width, False)


def hidream() -> Listing:
    w = 2560
    x = Listing().linear("x_embedder.proj", w, 64).linear("t_embedder.timestep_embedder.linear_1", w, 256).linear("t_embedder.timestep_embedder.linear_2", w, w)
    x.linear("p_embedder.pooled_embedder.linear_1", w, 2048).linear("p_embedder.pooled_embedder.linear_2", w, w).linear("caption_projection.{0-48}.linear", w, 4096, False)
    for stem, text, mod in (("double_stream_blocks.{0-15}.block", True, 12), ("single_stream_blocks.{0-31}.block", False, 6)):
        x.linear(f"{stem}.adaLN_modulation.1", mod * w, w).linear(f"{stem}.attn1.to_{{q,k,v,out}}", w, w).tensor(f"{stem}.attn1.{{q,k}}_rms_norm.weight", w)
        x.linear(f"{stem}.ff_i.shared_experts.w{{1,3}}", 3584, w, False).linear(f"{stem}.ff_i.shared_experts.w2", w, 3584, False)
        x.linear(f"{stem}.ff_i.experts.{{0-3}}.w{{1,3}}", 6912, w, False).linear(f"{stem}.ff_i.experts.{{0-3}}.w2", w, 6912, False).tensor(f"{stem}.ff_i.gate.weight", 4, w)
        if text:
            x.linear(f"{stem}.attn1.to_{{q,k,v,out}}_t", w, w).tensor(f"{stem}.attn1.{{q,k}}_rms_norm_t.weight", w)
            x.linear(f"{stem}.ff_t.w{{1,3}}", 6912, w, False).linear(f"{stem}.ff_t.w2", w, 6912, False)
    return x.linear("final_layer.linear", 64, w).linear("final_layer.adaLN_modulation.1", 2 * w, w)


def sana(original: bool, w: int = 2240, layers: int = 20) -> Listing:
    x = Listing()
    inner = int(2.5 * w)
    if original:
        x.conv("x_embedder.proj", w, 32, 1, 1).linear("t_embedder.mlp.0", w, 256).linear("t_embedder.mlp.2", w, w).linear("t_block.1", 6 * w, w)
        x.tensor("y_embedder.y_embedding", 300, 2304).linear("y_embedder.y_proj.fc1", w, 2304).linear("y_embedder.y_proj.fc2", w, w).tensor("attention_y_norm.weight", w)
        b = f"blocks.{span(layers)}"
        x.tensor(f"{b}.scale_shift_table", 6, w).linear(f"{b}.attn.qkv", 3 * w, w, False).linear(f"{b}.attn.proj", w, w)
        x.linear(f"{b}.cross_attn.q_linear", w, w).linear(f"{b}.cross_attn.kv_linear", 2 * w, w).linear(f"{b}.cross_attn.proj", w, w)
        x.conv(f"{b}.mlp.inverted_conv.conv", 2 * inner, w, 1, 1).conv(f"{b}.mlp.depth_conv.conv", 2 * inner, 1, 3, 3).conv(f"{b}.mlp.point_conv.conv", w, inner, 1, 1, bias=False)
        return x.tensor("final_layer.scale_shift_table", 2, w).linear("final_layer.linear", 32, w)
    x.conv("patch_embed.proj", w, 32, 1, 1).linear("time_embed.emb.timestep_embedder.linear_1", w, 256).linear("time_embed.emb.timestep_embedder.linear_2", w, w).linear("time_embed.linear", 6 * w, w)
    x.linear("caption_projection.linear_1", w, 2304).linear("caption_projection.linear_2", w, w).tensor("caption_norm.weight", w)
    b = f"transformer_blocks.{span(layers)}"
    x.tensor(f"{b}.scale_shift_table", 6, w).linear(f"{b}.attn1.to_{{q,k,v}}", w, w, False).linear(f"{b}.attn1.to_out.0", w, w).linear(f"{b}.attn2.{{to_q,to_k,to_v,to_out.0}}", w, w)
    x.conv(f"{b}.ff.conv_inverted", 2 * inner, w, 1, 1).conv(f"{b}.ff.conv_depth", 2 * inner, 1, 3, 3).conv(f"{b}.ff.conv_point", w, inner, 1, 1, bias=False)
    return x.tensor("scale_shift_table", 2, w).linear("proj_out", 32, w)


def cogview4() -> Listing:
    w = 4096
    x = Listing().linear("patch_embed.proj", w, 64).linear("patch_embed.text_proj", w, 4096)
    x.linear("time_condition_embed.timestep_embedder.linear_1", 512, 4096).linear("time_condition_embed.timestep_embedder.linear_2", 512, 512)
    x.linear("time_condition_embed.condition_embedder.linear_1", 512, 1536).linear("time_condition_embed.condition_embedder.linear_2", 512, 512)
    b = "transformer_blocks.{0-27}"
    x.linear(f"{b}.norm1.linear", 12 * w, 512).linear(f"{b}.attn1.{{to_q,to_k,to_v,to_out.0}}", w, w).linear(f"{b}.ff.net.0.proj", 4 * w, w).linear(f"{b}.ff.net.2", w, 4 * w)
    return x.linear("norm_out.linear", 2 * w, 512).linear("proj_out", 64, w)


def cogview3() -> Listing:
    w = 2560
    x = Listing().linear("patch_embed.proj", w, 64).linear("patch_embed.text_proj", w, 4096)
    x.linear("time_condition_embed.timestep_embedder.linear_1", 512, 2560).linear("time_condition_embed.timestep_embedder.linear_2", 512, 512)
    x.linear("time_condition_embed.condition_embedder.linear_1", 512, 1536).linear("time_condition_embed.condition_embedder.linear_2", 512, 512)
    b = "transformer_blocks.{0-29}"
    x.linear(f"{b}.norm1.linear", 12 * w, 512).linear(f"{b}.attn1.{{to_q,to_k,to_v,to_out.0}}", w, w)
    x.linear(f"{b}.ff.net.0.proj", 4 * w, w).linear(f"{b}.ff.net.2", w, 4 * w)
    return x.linear("norm_out.linear", 2 * w, 512).linear("proj_out", 64, w)


def cogvideox(w: int, layers: int, channels: int = 16) -> Listing:
    x = Listing().conv("patch_embed.proj", w, channels, 2, 2).linear("patch_embed.text_proj", w, 4096)
    x.linear("time_embedding.linear_1", 512, w).linear("time_embedding.linear_2", 512, 512)
    b = f"transformer_blocks.{span(layers)}"
    x.norm(f"{b}.norm{{1,2}}.norm", w).linear(f"{b}.norm{{1,2}}.linear", 6 * w, 512).linear(f"{b}.attn1.{{to_q,to_k,to_v,to_out.0}}", w, w).norm(f"{b}.attn1.norm_{{q,k}}", 64)
    x.linear(f"{b}.ff.net.0.proj", 4 * w, w).linear(f"{b}.ff.net.2", w, 4 * w)
    return x.norm("norm_final", w).norm("norm_out.norm", w).linear("norm_out.linear", 2 * w, 512).linear("proj_out", 64, w)


def kandinsky5(w: int, layers: int, ff: int, time: int) -> Listing:
    x = Listing().linear("time_embeddings.in_layer", time, w).linear("time_embeddings.out_layer", time, time).linear("text_embeddings.in_layer", w, 3584).norm("text_embeddings.norm", w)
    x.linear("pooled_text_embeddings.in_layer", time, 768).norm("pooled_text_embeddings.norm", time).linear("visual_embeddings.in_layer", w, 64)
    for stem, mods, attentions in (("text_transformer_blocks.{0,1}", ("text_modulation", 6), "self_attention"), (f"visual_transformer_blocks.{span(layers)}", ("visual_modulation", 9), "{self,cross}_attention")):
        x.linear(f"{stem}.{mods[0]}.out_layer", mods[1] * w, time).linear(f"{stem}.{attentions}.to_{{query,key,value}}", w, w).tensor(f"{stem}.{attentions}.{{query,key}}_norm.weight", 64)
        x.linear(f"{stem}.{attentions}.out_layer", w, w).linear(f"{stem}.feed_forward.in_layer", ff, w, False).linear(f"{stem}.feed_forward.out_layer", w, ff, False)
    return x.linear("out_layer.modulation.out_layer", 2 * w, time).linear("out_layer.out_layer", 64, w)


def stable_audio() -> Listing:
    w = 1536
    x = Listing().tensor("timestep_features.weight", 128, 1).linear("to_timestep_embed.0", w, 256).linear("to_timestep_embed.2", w, w)
    x.linear("to_cond_embed.0", 768, 768, False).linear("to_cond_embed.2", 768, 768, False).linear("to_global_embed.0", w, 1536, False).linear("to_global_embed.2", w, w, False)
    x.conv("{pre,post}process_conv", 64, 64, 1, bias=False).tensor("transformer.rotary_pos_emb.inv_freq", 16).linear("transformer.project_in", w, 64, False).linear("transformer.project_out", 64, w, False)
    b = "transformer.layers.{0-23}"
    x.tensor(f"{b}.{{pre_norm,cross_attend_norm,ff_norm}}.gamma", w).linear(f"{b}.self_attn.to_qkv", 3 * w, w, False).linear(f"{b}.{{self,cross}}_attn.to_out", w, w, False)
    return x.linear(f"{b}.cross_attn.to_q", w, w, False).linear(f"{b}.cross_attn.to_kv", w, 768, False).linear(f"{b}.ff.ff.0.proj", 8 * w, w).linear(f"{b}.ff.ff.2", w, 4 * w)


def krea2(original: bool) -> Listing:
    w = 6144
    fusion = "txtfusion" if original else "text_fusion"
    if original:
        x = Listing().linear("first", w, 64).linear("txtfusion.projector", 1, 12, False)
        b = "blocks.{0-27}"
        x.linear(f"{b}.attn.w{{q,o}}", w, w, False).linear(f"{b}.attn.w{{k,v}}", 1536, w, False).linear(f"{b}.attn.gate", w, w, False).linear(f"{b}.mlp.{{gate,up}}", 16384, w, False).linear(f"{b}.mlp.down", w, 16384, False)
        return x.linear("last.linear", 64, w)
    x = Listing().linear("img_in", w, 64).linear("time_embed.linear_1", w, 256).linear("time_embed.linear_2", w, w).linear("time_mod_proj", 6 * w, w)
    x.linear(f"{fusion}.projector", 1, 12, False).linear(f"{fusion}.{{layerwise,refiner}}_blocks.{{0,1}}.attn.{{to_q,to_k,to_v,to_gate,to_out.0}}", 2560, 2560, False)
    x.tensor("txt_in.norm.weight", 2560).linear("txt_in.linear_1", w, 2560).linear("txt_in.linear_2", w, w)
    b = "transformer_blocks.{0-27}"
    x.tensor(f"{b}.scale_shift_table", 6, w).linear(f"{b}.attn.{{to_q,to_gate,to_out.0}}", w, w, False).linear(f"{b}.attn.to_{{k,v}}", 1536, w, False).tensor(f"{b}.attn.norm_{{q,k}}.weight", 128)
    x.linear(f"{b}.ff.{{gate,up}}", 16384, w, False).linear(f"{b}.ff.down", w, 16384, False).tensor(f"{b}.norm{{1,2}}.weight", w)
    return x.tensor("final_layer.scale_shift_table", 2, w).linear("final_layer.linear", 64, w)


def ernie_image() -> Listing:
    w = 4096
    x = Listing().conv("x_embedder.proj", w, 128, 1, 1).linear("text_proj", w, 3072, False).linear("time_embedding.linear_{1,2}", w, w).linear("adaLN_modulation.1", 6 * w, w)
    b = "layers.{0-35}"
    x.tensor(f"{b}.adaLN_{{sa,mlp}}_ln.weight", w).linear(f"{b}.self_attention.{{to_q,to_k,to_v,to_out.0}}", w, w, False).tensor(f"{b}.self_attention.norm_{{q,k}}.weight", 128)
    x.linear(f"{b}.mlp.{{gate,up}}_proj", 12288, w, False).linear(f"{b}.mlp.linear_fc2", w, 12288, False)
    return x.linear("final_norm.linear", 2 * w, w).linear("final_linear", 128, w)
