package catalog

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed data/models/*.json
var modelFiles embed.FS

var modelIDs = sync.OnceValue(func() []string {
	entries, err := modelFiles.ReadDir("data/models")
	if err != nil {
		panic(fmt.Sprintf("catalog: embedded models: %v", err))
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, strings.Replace(strings.TrimSuffix(e.Name(), ".json"), "__", "/", 1))
	}
	return ids
})

// ModelIDs are the ids of all known models, sorted. The caller may change the slice.
func ModelIDs() []string { return slices.Clone(modelIDs()) }

// FindModel finds a model by its id ("google/gemma-3-12b-it") or by the part after the slash,
// whatever the case. The error offers the nearest ids.
func FindModel(id string) (Model, error) {
	for _, known := range modelIDs() {
		if strings.EqualFold(id, known) || strings.EqualFold(id, baseName(known)) {
			return embeddedModel(known)
		}
	}
	// A name without an owner is compared with names without owners: the owner's letters would
	// otherwise decide.
	var offers []string
	if strings.Contains(id, "/") {
		offers = nearest(id, modelIDs(), 3)
	} else {
		var names []string
		for _, known := range modelIDs() {
			names = append(names, baseName(known))
		}
		offers = nearest(id, names, 3)
	}
	return Model{}, fmt.Errorf("unknown model %q; did you mean %s? Any other model can be given by its config.json or its checkpoint's folder", id, strings.Join(offers, ", "))
}

func embeddedModel(id string) (Model, error) {
	name := "data/models/" + strings.Replace(id, "/", "__", 1) + ".json"
	f, err := modelFiles.Open(name)
	if err != nil {
		return Model{}, fmt.Errorf("opening the embedded model %s: %w", id, err)
	}
	defer func() { _ = f.Close() }()
	m, err := ParseConfig(name, f)
	m.ID = id
	return m, err
}

func baseName(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// quantMarks are the marks by which checkpoint names say how their weights are stored, the more
// telling ones first: "int4-awq" is awq.
var quantMarks = []struct{ mark, method string }{
	{"awq", "awq"}, {"gptq", "gptq"}, {"autoround", "autoround"}, {"nvfp4", "nvfp4"}, {"mxfp4", "mxfp4"},
	{"w4a16", "w4a16"}, {"bnb", "bitsandbytes"}, {"bitsandbytes", "bitsandbytes"}, {"gguf", "gguf"},
	{"fp8", "fp8"}, {"w8a8", "int8"}, {"w8a16", "int8"}, {"int8", "int8"}, {"8bit", "int8"},
	{"8-bit", "int8"}, {"int4", "w4a16"}, {"4bit", "w4a16"}, {"4-bit", "w4a16"},
}

// GuessModel guesses, from the root of a served model (a hub id or a path), which known model it
// is a checkpoint of and how its weights are stored: "gaunernst/gemma-3-12b-it-int4-awq" is
// google/gemma-3-12b-it in awq. Names are convention, not proof. quant is "" where the name tells
// nothing; ok is false where no known model's name is in root.
func GuessModel(root string) (m Model, quant string, ok bool) {
	name := strings.NewReplacer("/", "-", "_", "-", " ", "-", `\`, "-").Replace(strings.ToLower(root))
	for _, q := range quantMarks {
		if containsWord(name, q.mark) >= 0 {
			quant = q.method
			break
		}
	}
	// A distilled model bears its teacher's name, and is not built like it.
	if strings.Contains(name, "distill") {
		return Model{}, quant, false
	}
	// Where several names are in root the last one counts, as in DeepSeek-R1-0528-Qwen3-8B; of two
	// that end together the longer one.
	best, bestEnd, bestLen := "", -1, 0
	for _, id := range modelIDs() {
		full := strings.ToLower(baseName(id))
		for _, n := range []string{full, strings.TrimSuffix(strings.TrimSuffix(full, "-instruct"), "-it")} {
			start := containsWord(name, n)
			if start < 0 {
				continue
			}
			if end := start + len(n); end > bestEnd || end == bestEnd && len(n) > bestLen {
				best, bestEnd, bestLen = id, end, len(n)
			}
		}
	}
	if best == "" {
		return Model{}, quant, false
	}
	m, err := embeddedModel(best)
	return m, quant, err == nil
}

// containsWord is the index of the last place where word stands in s as a word of its own, or -1:
// gemma-3-1b is not in gemma-3-12b, nor deepseek-v3 in deepseek-v3.2.
func containsWord(s, word string) int {
	for end := len(s); ; {
		i := strings.LastIndex(s[:end], word)
		if i < 0 {
			return -1
		}
		j := i + len(word)
		before := i > 0 && (letterOrDigit(s[i-1]) || i > 1 && s[i-1] == '.' && digit(s[i-2]))
		after := j < len(s) && (letterOrDigit(s[j]) || j+1 < len(s) && s[j] == '.' && digit(s[j+1]))
		if !before && !after {
			return i
		}
		end = j - 1
	}
}

func digit(b byte) bool { return '0' <= b && b <= '9' }

func letterOrDigit(b byte) bool { return digit(b) || 'a' <= b && b <= 'z' }
