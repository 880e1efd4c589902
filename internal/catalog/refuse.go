package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// looksLikeJSON names the common things that are saved as config.json and are none.
func looksLikeJSON(data []byte) error {
	start := bytes.TrimSpace(data)
	switch {
	case len(start) == 0:
		return errors.New("the file is empty")
	case start[0] == '<':
		return errors.New("this is an HTML page, not JSON; download the raw file")
	case bytes.HasPrefix(start, []byte("version https://git-lfs")):
		return errors.New("this is a Git LFS pointer, not the file itself; fetch it with git lfs pull")
	case bytes.HasPrefix(start, []byte("//")) || bytes.HasPrefix(start, []byte("/*")) || start[0] == '#':
		return errors.New("the file has comments, JSON has none; remove them")
	case len(data) > 8 && data[7] == 0 && data[8] == '{':
		return errors.New("this is a safetensors file; give the folder it lies in")
	case bytes.HasPrefix(start, []byte("PK")) || start[0] == 0x80:
		return errors.New("this is a PyTorch file of weights; give the config.json beside it")
	case start[0] != '{':
		return errors.New("this is not a JSON object")
	}
	return nil
}

// otherFile names files that lie beside a config.json, and configs of other libraries.
func otherFile(keys map[string]json.RawMessage) error {
	has := func(names ...string) bool {
		for _, n := range names {
			if _, ok := keys[n]; !ok {
				return false
			}
		}
		return true
	}
	text := func(key string) string {
		var s string
		_ = json.Unmarshal(keys[key], &s) // another kind of value leaves "", which orUnnamed replaces
		return oneLine(s)
	}
	switch {
	case has("_class_name"):
		return fmt.Errorf("%s is part of a diffusion pipeline; it makes no text", orUnnamed(text("_class_name"), "this"))
	case has("peft_type"):
		return fmt.Errorf("this is an adapter's config; give that of its base model, %s", orUnnamed(text("base_model_name_or_path"), "which it does not name"))
	case has("weight_map"):
		return errors.New("this is the index of a sharded checkpoint; give its folder, or the config.json beside it")
	case has("model_type") || has("architectures"):
		return nil
	case has("tokenizer_class") || has("added_tokens"):
		return errors.New("this is a tokenizer's file; give the config.json beside it")
	case has("image_processor_type") || has("feature_extractor_type") || has("processor_class"):
		return errors.New("this is a processor's config; give the config.json beside it")
	case has("dim", "n_layers"):
		return errors.New("this is Mistral's own params.json; give the config.json that transformers uses")
	case has("producer", "quantization"):
		return errors.New("this says only how the weights are quantised; give the config.json beside it")
	case has("eos_token_id") && !has("hidden_size"):
		return errors.New("this is a generation_config.json; give the config.json beside it")
	}
	return nil
}

// otherKinds are model types that keep no KV cache for text, by what they are instead.
var otherKinds = []struct {
	what  string
	types []string
}{
	{"an encoder or embedding model; it generates no text", []string{"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "albert",
		"deberta", "deberta-v2", "electra", "modernbert", "mpnet", "nomic_bert", "new", "longformer", "funnel"}},
	{"an image model; it generates no text", []string{"vit", "clip", "clip_text_model", "clip_vision_model", "siglip", "siglip2", "siglip_vision_model",
		"dinov2", "dinov3_vit", "detr", "sam", "swin", "convnext", "resnet", "deit", "beit", "timm_wrapper"}},
	{"an audio model; only text generation is modelled", []string{"whisper", "wav2vec2", "wav2vec2-bert", "hubert", "speecht5", "encodec", "musicgen",
		"bark", "clap", "seamless_m4t", "seamless_m4t_v2", "parakeet_ctc", "vits", "moonshine", "csm"}},
	{"a diffusion language model; it keeps no KV cache as autoregressive models do", []string{"llada", "dream", "Dream"}},
	{"a recurrent model without attention; only models with a KV cache are modelled", []string{"mamba", "mamba2", "rwkv", "falcon_mamba", "xlstm"}},
}

// refuseKind refuses what is no decoder-only text model, by what it is.
func (c *config) refuseKind() error {
	name := orUnnamed(oneLine(strings.Join(c.Architectures, ", ")), oneLine(c.ModelType))
	for _, k := range otherKinds {
		if slices.Contains(k.types, c.ModelType) {
			return fmt.Errorf("%s is %s", name, k.what)
		}
	}
	if c.IsEncoderDecoder {
		return fmt.Errorf("%s is an encoder-decoder model; only decoder-only text generation is modelled", name)
	}
	for _, a := range c.Architectures {
		switch {
		case strings.HasSuffix(a, "ForMaskedLM") || strings.Contains(a, "Embedding"):
			return fmt.Errorf("%s is an encoder or embedding model; it generates no text", name)
		case strings.HasSuffix(a, "ForSequenceClassification") || strings.HasSuffix(a, "ForTokenClassification") || strings.Contains(a, "RewardModel"):
			return fmt.Errorf("%s is a classifier or reward model; it generates no text", name)
		}
	}
	return nil
}
