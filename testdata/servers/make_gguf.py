#!/usr/bin/env python3
"""Write a tiny random-weight llama as GGUF for tests (no download, needs numpy and gguf).

    python make_gguf.py FILE [--layers 4] [--hidden 128] [--context 8192]

The tokenizer is GPT-2's kind: a token for each byte, and one for each beginning of some common words after a
space, so that these words are single tokens. Everything is a function of the seed; the text that such a model
writes is noise, and it ends an answer now and then, as real ones do.
"""
import argparse

import gguf
import numpy as np

WORDS = """the be to of and in that have it for not on with he as you do at this but his by from they we say her she or
an will my one all would there their what so up out if about who get which go me when make can like time no just him
know take people into year your good some could them see other than then now look only come its over think also back
after use two how our work first well way even new want because any these give day most us air area art book box boy
car case city color cost door ear east end eye face fact farm fast feet field fire fish five food foot form four game
gold green ground group hand head heart heat high hill home horse hot hour house ice idea inch island king land large
last late left letter life light line list long love machine main man map mark mile mind money moon morning mother
mountain music name night noon north note number ocean object off old open order own page paper part pattern person
picture piece place plan plane plant play point power press problem product quick rain red rest ring river road rock
room round rule run sea seven shape ship side sing size sky sleep slow small snow song sound south space special star
state step stone stop story street strong study sun sure table tail talk ten test thing three town travel tree true
turn unit verb voice wall war warm watch water wave week west wheel white wide wind winter wood word world write""".split()
SPECIAL = ["<|end|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def byte_names():
    """GPT-2's printable stand-ins of the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in names:
            names[b] = chr(256 + extra)
            extra += 1
    return [names[b] for b in range(256)]


def vocabulary():
    names = byte_names()
    tokens, merges = list(names), []
    for word in WORDS:
        left = names[ord(" ")]
        for letter in word:
            if left + letter not in tokens:
                tokens.append(left + letter)
                merges.append(f"{left} {letter}")
            left += letter
    return tokens, merges


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("file")
    ap.add_argument("--layers", type=int, default=4)
    ap.add_argument("--hidden", type=int, default=128)
    ap.add_argument("--context", type=int, default=8192)
    ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args()
    tokens, merges = vocabulary()
    plain = len(tokens)
    tokens += SPECIAL
    heads, ff = a.hidden // 32, 4 * a.hidden

    w = gguf.GGUFWriter(a.file, "llama")
    w.add_name("tiny-llama")
    w.add_context_length(a.context)
    w.add_embedding_length(a.hidden)
    w.add_block_count(a.layers)
    w.add_feed_forward_length(ff)
    w.add_head_count(heads)
    w.add_head_count_kv(heads)
    w.add_rope_dimension_count(a.hidden // heads)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(tokens))
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([gguf.TokenType.NORMAL] * plain + [gguf.TokenType.CONTROL] * len(SPECIAL))
    w.add_token_merges(merges)
    w.add_bos_token_id(plain)
    w.add_eos_token_id(plain + 2)
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)

    rng = np.random.default_rng(a.seed)

    def tensor(name, *shape):
        w.add_tensor(name, (rng.standard_normal(shape) * shape[-1] ** -0.5).astype(np.float32))

    def norm(name):
        w.add_tensor(name, np.ones(a.hidden, np.float32))

    tensor("token_embd.weight", len(tokens), a.hidden)
    norm("output_norm.weight")
    tensor("output.weight", len(tokens), a.hidden)
    for i in range(a.layers):
        for part in ["q", "k", "v", "output"]:
            tensor(f"blk.{i}.attn_{part}.weight", a.hidden, a.hidden)
        tensor(f"blk.{i}.ffn_gate.weight", ff, a.hidden)
        tensor(f"blk.{i}.ffn_up.weight", ff, a.hidden)
        tensor(f"blk.{i}.ffn_down.weight", a.hidden, ff)
        norm(f"blk.{i}.attn_norm.weight")
        norm(f"blk.{i}.ffn_norm.weight")
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(f"llama: {len(tokens)} tokens, {a.layers} layers of {a.hidden} -> {a.file}")


if __name__ == "__main__":
    main()
