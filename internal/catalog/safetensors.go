package catalog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxHeaderBytes is the longest header the safetensors format allows.
const maxHeaderBytes = 100_000_000

// tensor is what a checkpoint's header says about one tensor.
type tensor struct {
	name     string
	dtype    string
	elements int64
	bytes    int64
}

// safetensorsBits is the width of an element by dtype.
var safetensorsBits = map[string]int64{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32,
	"I64": 64, "U64": 64, "F64": 64, "C64": 64,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

// readSafetensors reads the header of a safetensors file of that size: its length in 8 bytes, then
// JSON that names each tensor with dtype, shape and place. Nothing of the weights is read. The
// error is one line without the file's name.
func readSafetensors(r io.Reader, size int64) ([]tensor, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("%d bytes are no safetensors file", size)
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n == 0 || n > maxHeaderBytes:
		return nil, fmt.Errorf("the header claims %d bytes, the format allows 1 to %d: this is no safetensors file", n, maxHeaderBytes)
	case int64(n) > size-8:
		return nil, fmt.Errorf("the file is cut off: its header claims %d bytes, the file has %d", n, size)
	}
	data := size - 8 - int64(n)
	out, end, err := decodeHeader(io.LimitReader(r, int64(n)), data)
	if err != nil {
		return nil, err
	}
	if end != data {
		return nil, fmt.Errorf("the file is cut off or damaged: its tensors take %d bytes, %d follow the header", end, data)
	}
	return out, nil
}

// decodeHeader reads tensor by tensor, so that a large header is never held as text. end is where
// the last tensor ends.
func decodeHeader(r io.Reader, data int64) (out []tensor, end int64, err error) {
	dec := json.NewDecoder(r)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, 0, errors.New("the header is not JSON: this is no safetensors file")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, 0, fmt.Errorf("the header is damaged: %s", oneLine(err.Error()))
		}
		t := tensor{name: fmt.Sprint(name)}
		if t.name == "__metadata__" {
			var skip json.RawMessage
			if err := dec.Decode(&skip); err != nil {
				return nil, 0, fmt.Errorf("the header is damaged: %s", oneLine(err.Error()))
			}
			continue
		}
		var info struct {
			DType   string  `json:"dtype"`
			Shape   []int64 `json:"shape"`
			Offsets []int64 `json:"data_offsets"`
		}
		if err := dec.Decode(&info); err != nil {
			return nil, 0, fmt.Errorf("the header is damaged at tensor %s: %s", oneLine(t.name), oneLine(err.Error()))
		}
		if len(info.Offsets) != 2 || info.Offsets[0] < 0 || info.Offsets[1] < info.Offsets[0] || info.Offsets[1] > data {
			return nil, 0, fmt.Errorf("the file is cut off or damaged: tensor %s lies at %v of %d bytes", oneLine(t.name), info.Offsets, data)
		}
		t.dtype, t.bytes = info.DType, info.Offsets[1]-info.Offsets[0]
		elements, ok := product(info.Shape)
		if !ok {
			return nil, 0, fmt.Errorf("tensor %s has the shape %v, which none has", oneLine(t.name), info.Shape)
		}
		// A dtype newer than the table is counted by its bytes alone.
		bits, known := safetensorsBits[t.dtype]
		if known {
			t.elements = elements
		}
		if known && ceilDiv8(elements, bits) != t.bytes {
			return nil, 0, fmt.Errorf("tensor %s of shape %v in %s takes %d bytes, the header says %d", oneLine(t.name), info.Shape, oneLine(t.dtype), ceilDiv8(elements, bits), t.bytes)
		}
		end = max(end, info.Offsets[1])
		out = append(out, t)
	}
	if _, err := dec.Token(); err != nil {
		return nil, 0, errors.New("the header is cut off")
	}
	return out, end, nil
}

// product is the number of elements of a shape; ok is false where it is negative or absurd. 2^56
// elements of 64 bits still fit into an int64 of bits.
func product(shape []int64) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > (math.MaxInt64>>7)/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

func ceilDiv8(elements, bits int64) int64 { return (elements*bits + 7) / 8 }
