package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// indexFile names the shards of a checkpoint of several files.
const indexFile = "model.safetensors.index.json"

// maxIndexBytes bounds an index; that of a model of a trillion parameters has about 10 MiB.
const maxIndexBytes = 64 << 20

// ReadCheckpoint reads a checkpoint's folder: its config.json, and the headers of its safetensors
// files for the exact bytes of each part. A folder without safetensors files gives what its
// config.json says. name is used in errors and as the model's id. The error is one line and names
// the file.
func ReadCheckpoint(name string, folder fs.FS) (Model, error) {
	m, err := readCheckpoint(folder)
	if err != nil {
		return Model{}, fmt.Errorf("checkpoint %s: %w", name, err)
	}
	m.ID = name
	return m, nil
}

func readCheckpoint(folder fs.FS) (Model, error) {
	data, err := readBounded(folder, "config.json", maxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return Model{}, errors.New("the folder has no config.json; give a checkpoint's folder, a config.json or a .gguf file")
	}
	if err != nil {
		return Model{}, err
	}
	c, err := readConfig(data)
	if err != nil {
		return Model{}, fmt.Errorf("config.json: %w", err)
	}
	tensors, err := checkpointTensors(folder)
	if err != nil {
		return Model{}, err
	}
	if len(tensors) == 0 {
		m, err := c.model()
		if err != nil {
			return Model{}, fmt.Errorf("config.json: %w", err)
		}
		m.ParameterSource += "; the folder has no safetensors files to count in"
		return m, nil
	}
	if _, err := c.VisionConfig.countParameters(c.ModelType, 1); err != nil {
		c.VisionConfig = nil // the headers count a tower of any kind
	}
	m, err := c.model()
	if err != nil {
		return Model{}, fmt.Errorf("config.json: %w", err)
	}
	return m.withStored(tensors)
}

// withStored puts the headers' figures beside the config's.
func (m Model) withStored(tensors []tensor) (Model, error) {
	s := storedParts(tensors, m.NumLayers(), m.TiedEmbeddings)
	for _, part := range []struct {
		name    string
		part    Part
		missing bool
	}{
		{"input embedding", s.Embedding, true},
		{"layers", s.Layers, true},
		{"output head", s.Head, !m.TiedEmbeddings},
		{"routed experts", s.RoutedExperts, m.MoE != nil},
	} {
		if part.missing && part.part == (Part{}) {
			return Model{}, fmt.Errorf("the files hold no %s, which this %s model has: not all of them are here, or they are another model's", part.name, m.ModelType)
		}
	}
	if m.Parameters.Vision == 0 {
		m.Parameters.Vision = s.Vision.Floats
	}
	m.Stored = s
	m.MTPParameterCount = s.MTP.Floats
	if m.Quantization == nil {
		m.ParameterCount, m.ParameterSource = s.Parameters, "counted in the headers of the files"
	} else {
		m.ParameterCount, m.ParameterSource = m.Parameters.Total()+m.MTPParameterCount, "computed from the config's fields; bytes are from the headers of the files"
	}
	return m, nil
}

// checkpointTensors lists the tensors of all safetensors files that belong to the checkpoint; none
// where it has no such file.
func checkpointTensors(folder fs.FS) ([]tensor, error) {
	shards, owner, err := checkpointShards(folder)
	if err != nil {
		return nil, err
	}
	var out []tensor
	found := make(map[string]bool)
	for _, file := range shards {
		tensors, err := shardTensors(folder, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, t := range tensors {
			if owner != nil && owner[t.name] != file || found[t.name] {
				continue // a leftover the index does not name
			}
			found[t.name] = true
			out = append(out, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(owner)) {
		if !found[name] {
			return nil, fmt.Errorf("%s: tensor %s is not in %s, where %s puts it: the files are of different downloads", owner[name], oneLine(name), owner[name], indexFile)
		}
	}
	return out, nil
}

// checkpointShards lists the files that hold the weights. owner is the index's tensor → file, nil
// where there is no index.
func checkpointShards(folder fs.FS) (shards []string, owner map[string]string, err error) {
	data, err := readBounded(folder, indexFile, maxIndexBytes)
	switch {
	case err == nil:
		var index struct {
			WeightMap map[string]string `json:"weight_map"`
		}
		if err := json.Unmarshal(data, &index); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", indexFile, describeJSONError(data, err))
		}
		if len(index.WeightMap) == 0 {
			return nil, nil, fmt.Errorf("%s: weight_map is empty or missing", indexFile)
		}
		shards = slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
		return shards, index.WeightMap, checkPresent(folder, shards)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	}
	all, err := fs.Glob(folder, "*.safetensors")
	if err != nil {
		return nil, nil, fmt.Errorf("listing the folder: %w", err)
	}
	// Mistral's own format lies beside the one of transformers, with the same weights.
	shards = slices.DeleteFunc(slices.Clone(all), func(f string) bool { return strings.HasPrefix(f, "consolidated") })
	if len(shards) == 0 {
		shards = all
	}
	return shards, nil, nil
}

// checkPresent names the shards that are not in the folder.
func checkPresent(folder fs.FS, shards []string) error {
	var missing []string
	for _, f := range shards {
		if !fs.ValidPath(f) || path.Dir(f) != "." {
			return fmt.Errorf("%s: %q is no name of a file in this folder", indexFile, oneLine(f))
		}
		if _, err := fs.Stat(folder, f); err != nil {
			missing = append(missing, f)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	const most = 3
	names := strings.Join(missing[:min(most, len(missing))], ", ")
	if len(missing) > most {
		names += ", …"
	}
	return fmt.Errorf("%d of the %d files that %s names are missing: %s", len(missing), len(shards), indexFile, names)
}

func shardTensors(folder fs.FS, file string) ([]tensor, error) {
	f, err := folder.Open(file)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading its size: %w", err)
	}
	return readSafetensors(f, info.Size())
}

// readBounded reads a file of at most that many bytes.
func readBounded(folder fs.FS, name string, most int64) ([]byte, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %d MiB; it is not what its name says", name, most>>20)
	}
	return data, nil
}
