package load

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"math"
	"strings"
	"testing"
)

// TestImages: each is a PNG of its size, made anew from seed, key and number, and no two are equal.
func TestImages(t *testing.T) {
	seen := map[string]bool{}
	for _, seed := range []int64{1, 2} {
		p := &Prompts{seed: seed}
		for _, size := range []Size{{1, 1}, {30, 47}, {256, 256}} {
			for n := range 2 {
				for index := range 2 {
					key := Key{Test: "t", Index: index}
					uri := p.Image(size, n, key)
					if uri != p.Image(size, n, key) {
						t.Errorf("%v: two images of one name differ", size)
					}
					if seen[uri] {
						t.Errorf("%v: two images are equal", size)
					}
					seen[uri] = true
					data, ok := strings.CutPrefix(uri, "data:image/png;base64,")
					raw, err := base64.StdEncoding.DecodeString(data)
					if !ok || err != nil {
						t.Fatalf("%.60s: %v", uri, err)
					}
					img, err := png.Decode(bytes.NewReader(raw))
					if err != nil || img.Bounds().Dx() != size.Width || img.Bounds().Dy() != size.Height {
						t.Errorf("%v: %v, %v", size, img.Bounds(), err)
					}
				}
			}
		}
	}
}

func TestImageMix(t *testing.T) {
	for text, want := range map[string]string{
		"{(256, 256, 1): 0.5, (720, 1280, 1): 0.5}":            "256x256:0.5,720x1280:0.5",
		"{(256,256,1):1,(720,1280,1):3, (720, 1280, 16): 0.0}": "256x256:0.25,720x1280:0.75",
		"(8, 9, 1): 1":                      "8x9:1",
		"{}":                                "!want {(height",
		"{(256, 256): 1}":                   "!want {(height",
		"{(8, 8, 1): 1} x":                  "!want {(height",
		"{(8, 8, 4): 1}":                    "!videos are not made",
		"{(8, 8, 1): 0}":                    "!every probability is 0",
		"{(0, 8, 1): 1}":                    "!out of range",
		"{(8, 99999999999999999999, 1): 1}": "!out of range",
		"{(8, 8, 1): e}":                    "!no probability",
	} {
		mix, err := ParseImageMix(text)
		if why, refused := strings.CutPrefix(want, "!"); refused {
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v, want %q", text, err, why)
			}
			continue
		}
		if err != nil || mix.String() != want {
			t.Errorf("%s: %v, %v", text, mix, err)
		}
		again, err := ReadImageMix(want)
		if err != nil || again.String() != want {
			t.Errorf("%s is read as %v, %v", want, again, err)
		}
	}
	mix, err := ReadImageMix("8x8:0.25,9x9:0.75")
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	small := 0
	rng := Stream(1, "mix", "t", 0)
	for range n {
		if mix.Draw(rng) == (Size{8, 8}) {
			small++
		}
	}
	if math.Abs(float64(small)-n/4) > 5*math.Sqrt(n*0.25*0.75) {
		t.Errorf("%d of %d have the size of a quarter", small, n)
	}
}

// FuzzImageMix: what is taken can be read back, and its shares add up to 1.
func FuzzImageMix(f *testing.F) {
	for _, text := range []string{"{(256, 256, 1): 0.5, (720, 1280, 1): 0.5}", "{(1,1,1):1e300,(2,2,1):1e300}", "(1,1,1):5e-324"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mix, err := ParseImageMix(text)
		if err != nil {
			return
		}
		sum := 0.0
		for _, b := range mix {
			sum += b.Share
		}
		if again, err := ReadImageMix(mix.String()); err != nil || fmt.Sprint(again) != fmt.Sprint(mix) || math.Abs(sum-1) > 1e-9 {
			t.Errorf("%q: %v, read back as %v, %v; shares add up to %v", text, mix, again, err, sum)
		}
	})
}

// TestTokenIDs: all from the range, as many as asked, the shared ones the same for one prefix and no other.
func TestTokenIDs(t *testing.T) {
	p := &Prompts{seed: 1}
	const shared, n, low, high = 10, 50, 100, 199
	one := p.MakeIDs(shared, n, low, high, Key{Test: "t", Index: 1})
	two := p.MakeIDs(shared, n, low, high, Key{Test: "t", Index: 2})
	other := p.MakeIDs(shared, n, low, high, Key{Test: "t", Index: 3, Prefix: 1})
	if fmt.Sprint(one[:shared]) != fmt.Sprint(two[:shared]) || fmt.Sprint(one[shared:]) == fmt.Sprint(two[shared:]) || fmt.Sprint(one[:shared]) == fmt.Sprint(other[:shared]) {
		t.Errorf("%v\n%v\n%v", one, two, other)
	}
	seen := map[int]bool{}
	for index := range 100 {
		ids := p.MakeIDs(0, n, low, high, Key{Test: "t", Index: index})
		for _, id := range ids {
			seen[id] = true
			if id < low || id > high {
				t.Fatalf("id %d", id)
			}
		}
		if len(ids) != n {
			t.Fatalf("%d ids", len(ids))
		}
	}
	if len(seen) != high-low+1 {
		t.Errorf("%d different ids of %d", len(seen), high-low+1)
	}
}

// TestTurns: drawn evenly, the ends included; think times and numbers of images may be 0.
func TestTurns(t *testing.T) {
	counts := map[int]int{}
	for _, n := range Turns(9000, 2, 4, Stream(1, "turns", "t", 0)) {
		counts[n]++
	}
	for n := 2; n <= 4; n++ {
		if c := counts[n]; len(counts) != 3 || math.Abs(float64(c)-3000) > 5*math.Sqrt(2000) {
			t.Errorf("%v", counts)
		}
	}
	counts = map[int]int{}
	for _, n := range Counts(1000, 1, 1, Stream(1, "images", "t", 0)) {
		counts[n]++
	}
	if len(counts) != 3 || counts[0] == 0 || counts[2] == 0 {
		t.Errorf("%v", counts)
	}
}
