package load

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
)

// Size of an image in pixels.
type Size struct{ Height, Width int }

func (s Size) String() string { return fmt.Sprintf("%dx%d", s.Height, s.Width) }

// ImageShare is a size and how often it is drawn.
type ImageShare struct {
	Size
	Share float64 // of all; those of a mix add up to 1
}

// ImageMix says which sizes images have, and how often each is drawn.
type ImageMix []ImageShare

// ReadImageMix reads what [ImageMix.String] writes.
func ReadImageMix(text string) (ImageMix, error) {
	var mix ImageMix
	for part := range strings.SplitSeq(text, ",") {
		var b ImageShare
		if _, err := fmt.Sscanf(part, "%dx%d:%g", &b.Height, &b.Width, &b.Share); err != nil {
			return nil, fmt.Errorf("%q is no size of images as 256x256:1: %w", part, err)
		}
		mix = append(mix, b)
	}
	return mix, nil
}

// maxSide bounds an image: more is likelier a mistake than a wish.
const maxSide = 8192

// bucket is an entry of vLLM's --random-mm-bucket-config: (height, width, frames): probability.
var bucket = regexp.MustCompile(`\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)\s*:\s*([0-9.eE+-]+)`)

// ParseImageMix reads what vLLM's --random-mm-bucket-config takes: {(height, width, 1): probability, …}. Probabilities that
// do not add up to 1 are scaled; those of videos, of more than one frame, must be 0.
func ParseImageMix(text string) (ImageMix, error) {
	const form = "want {(height, width, 1): probability, …}, as {(256, 256, 1): 0.5, (720, 1280, 1): 0.5}"
	found := bucket.FindAllStringSubmatch(text, -1)
	if rest := bucket.ReplaceAllString(text, ""); len(found) == 0 || strings.Trim(rest, "{}, \t\n") != "" {
		return nil, fmt.Errorf("%q: %s", text, form)
	}
	var mix ImageMix
	sum := 0.0
	for _, f := range found {
		height, _ := strconv.Atoi(f[1]) // digits alone; what overflows is out of range below
		width, _ := strconv.Atoi(f[2])
		share, err := strconv.ParseFloat(f[4], 64)
		switch {
		case err != nil || !(share >= 0) || math.IsInf(share, 0):
			return nil, fmt.Errorf("%q is no probability: %s", f[4], form)
		case share == 0:
			continue
		case f[3] != "1":
			return nil, fmt.Errorf("%s has %s frames: videos are not made, %s", f[0], f[3], form)
		case height < 1 || width < 1 || height > maxSide || width > maxSide:
			return nil, fmt.Errorf("an image of %s × %s is out of range: want 1 to %d pixels a side", f[1], f[2], maxSide)
		}
		mix = append(mix, ImageShare{Size{height, width}, share})
		sum += share
	}
	if len(mix) == 0 {
		return nil, fmt.Errorf("%q: every probability is 0", text)
	}
	for i := range mix {
		mix[i].Share /= sum
	}
	return mix, nil
}

// String is the mix as records have it: "256x256:0.5,720x1280:0.5".
func (m ImageMix) String() string {
	parts := make([]string, len(m))
	for i, b := range m {
		parts[i] = fmt.Sprintf("%v:%g", b.Size, b.Share)
	}
	return strings.Join(parts, ",")
}

// Draw draws a size.
func (m ImageMix) Draw(rng *rand.Rand) Size {
	at := rng.Float64()
	for _, b := range m {
		if at -= b.Share; at < 0 {
			return b.Size
		}
	}
	return m[len(m)-1].Size // what rounding left
}

// noiseCell is the side of a square of one colour. Squares keep the files as small as those of pictures, where noise of single
// pixels would make them ten times as large.
const noiseCell = 4

// Noise is a PNG of squares in 256 drawn colours as a data URI: no two are equal, so that no cache of images helps.
func Noise(s Size, rng *rand.Rand) string {
	palette := make(color.Palette, 256)
	for i := range palette {
		c := rng.Uint32()
		palette[i] = color.RGBA{byte(c), byte(c >> 8), byte(c >> 16), 0xff}
	}
	img := image.NewPaletted(image.Rect(0, 0, s.Width, s.Height), palette)
	squares := make([]byte, (s.Width+noiseCell-1)/noiseCell)
	for y := range s.Height {
		if y%noiseCell == 0 {
			for i := range squares {
				squares[i] = byte(rng.Uint32())
			}
		}
		row := img.Pix[y*img.Stride:]
		for x := range s.Width {
			row[x] = squares[x/noiseCell]
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	_ = encoder.Encode(&out, img) // fails only where the writer or the size does
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(out.Bytes())
}
