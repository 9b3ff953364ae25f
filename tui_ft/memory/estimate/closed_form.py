"""draft"""
from __future__ import annotations
from dataclasses import dataclass
from tui_ft.memory.estimate import heads, layers, ops
from tui_ft.memory.estimate.adapters import adapter_of
from tui_ft.memory.estimate.attention import Attending
from tui_ft.memory.estimate.tape import *
from tui_ft.memory.estimate.weights import Weights, Held
from tui_ft.memory.step import BYTES, Step
from tui_ft.memory.states import optimizer_states
from tui_ft.models import architecture_of
from tui_ft.memory.allocator import MIB
rounded = block_of

@dataclass
class Part:
    forward_peak: int
    holds_forward: int
    holds: int
    backward_peak: int
    gradients: int

def trained_bytes(layer):
    return 0

def part(make, forward, count, width, needs, checkpointing, low):
    t = Tape(low=low, learns=not checkpointing, checkpointed=checkpointing)
    x = t.input(count, width, learns=needs)
    xs = x.storage.size
    layer = make()
    y = forward(t, x, layer)
    fp = t.peak - xs
    if not checkpointing:
        del x
    hf = t.live - xs
    t.forget_casts()
    holds = t.live - xs
    if checkpointing:
        del x,y
        t = Tape(low=low, keeps_casts=False)
        x = t.input(count, width, learns=True)
        seed = Storage(t, count*width)
        y = forward(t, x, layer)
        del x
    else:
        seed = Storage(t, y.size)
        t.peak = t.live
    if y.source is not None: y.source.take(seed)
    del y, seed
    t.backward()
    return Part(fp, hf, holds, t.peak - xs, 0)

def allocated(step: Step, debug=False):
    a = architecture_of(step.config)
    ad = adapter_of(step.adapter, a)
    w = Weights(step, a, ad)
    B, S = step.batch, step.length
    T = B*S
    low = BYTES[step.arithmetic] if step.arithmetic else None
    D = a.hidden_size
    xw = w.width
    half = (low or w.width) == 2
    kernel = "efficient" if step.padded or not half else "flash"
    att = Attending(kernel, B, S, S, a.heads, a.kv_heads, a.head_dim, step.padded)
    sh = layers.Shapes(a, att, T, xw, step.quantization is not None, low is not None)
    base = grads_total = 0; G=[]
    states = 0; weights=0; trained=0; opt_copy=0
    for h in w.held():
        weights += rounded(h.count*h.width)
        if h.trained:
            n = rounded(h.count*h.width)
            trained += n
            dt = {4:"float32",2:"bfloat16"}[h.width]
            states += sum(rounded(s.size) for s in optimizer_states(step.optim, h.shape, dt))
    layer_grads = [sum(rounded(h.count*h.width) for p in w.pieces(n) for h in w._tensors(p) if h.trained) for n in range(a.layers)]
    if ad is not None and ad.kind == "lora":
        per = sum(rounded(x.count*x.width) for l in (w.layer(0).adapters.values()) for x in (l.down,l.up))
        layer_grads = [g+per for g in layer_grads]
    if step.accumulation: pass
    base = weights + states + int(step.workspace_mib*MIB) + 3*8*T + 2*S*a.head_dim*xw
    if step.accumulation: base += trained; layer_grads=[0]*a.layers
    x0 = T*D*xw
    emb_w = w.matrix(a.embeddings[0])
    x_needs = emb_w.source is not None or (step.checkpointing and ad is not None)
    fwd = lambda t,x,l: layers.llama(t,x,l,sh)
    first = part(lambda: w.layer(0), fwd, T*D, xw, x_needs, step.checkpointing, low)
    other = first if x_needs else part(lambda: w.layer(1), fwd, T*D, xw, True, step.checkpointing, low)
    parts = [first] + [other]*(a.layers-1)
    # head
    t = Tape(low=low)
    x = t.input(T*D, xw, learns=True); xs=x.storage.size
    fn = w.norm(a.norms[-1]); hw = w.matrix(a.output)
    h = ops.rms_norm(t, x, D, fn); del x
    out = heads.fused(t,h,hw,B,S,step.supervised,0) if step.objective=="sft" else heads.full_logits(t,h,hw)
    hfp = t.peak - xs
    del h
    t.peak=t.live
    out.source.take(Storage(t,out.size)); del out
    t.backward()
    hbp = t.peak - xs
    head_grads = 0 if step.accumulation else sum(rounded(x.count*x.width) for p in (a.output, a.norms[-1]) for x in w._tensors(p) if x.trained)
    if a.output.tied and w.full and not step.accumulation: head_grads = emb_w.count*xw
    moments = {}
    run = base + x0
    ahead=[]
    f = run
    for p in parts:
        moments["forward"] = max(moments.get("forward",0), f+p.forward_peak); f += p.holds_forward
    moments["forward"] = max(moments["forward"], f + hfp)
    held = run + sum(p.holds for p in parts)
    bw = held + hbp
    g = head_grads
    for n in range(a.layers-1,-1,-1):
        held -= parts[n].holds
        bw = max(bw, held + parts[n].backward_peak + g)
        g += layer_grads[n]
    if emb_w.source: bw = max(bw, run + g + emb_w.count*xw + 0)
    moments["backward"]=bw
    o = base - 2*S*a.head_dim*xw + (0 if step.accumulation else trained)
    if step.optim in ("adamw_torch",): o += trained
    moments["optimizer"]=o
    if debug: print({k:round(v/2**20,2) for k,v in moments.items()}, "weights",weights/2**20,"states",states/2**20,"trained",trained/2**20,"A",[p.holds/2**20 for p in parts[:2]], "hbp",hbp/2**20, "lbp", other.backward_peak/2**20)
    return max(moments.values()), moments
