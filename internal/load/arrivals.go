package load

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"bench/internal/record"
)

// Schedule is when each of n requests is due, after the start of the load, in ascending order. It is arithmetic alone:
// what a request waits for is never another one. The law is that of vLLM's bench serve: each gap has the mean 1/rate, and
// its distribution is a gamma distribution of shape a.Burstiness; a ramp changes the rate from request to request. Unlike
// there, the schedule is not stretched afterwards to end at n/rate, because gaps would then depend on each other.
func Schedule(a record.Arrivals, n int, rng *rand.Rand) []time.Duration {
	due := make([]time.Duration, n)
	at := 0.0
	for i := range due {
		gap := 1 / rateAt(a, i, n)
		if a.Burstiness != nil {
			gap *= gamma(rng, *a.Burstiness) / *a.Burstiness
		}
		at += gap
		due[i] = time.Duration(at * float64(time.Second))
	}
	return due
}

// rateAt is the rate at the ith of n requests, per second.
func rateAt(a record.Arrivals, i, n int) float64 {
	progress := float64(i) / float64(max(n-1, 1))
	switch a.RampUpStrategy {
	case record.RampLinear:
		return a.RampUpStartRPS + (a.RampUpEndRPS-a.RampUpStartRPS)*progress
	case record.RampExponential:
		return a.RampUpStartRPS * math.Pow(a.RampUpEndRPS/a.RampUpStartRPS, progress)
	}
	return a.RequestRate
}

// MeanLength is how long a schedule of n requests lasts on average; that of a trace lasts as long as it does.
func MeanLength(a record.Arrivals, n int) time.Duration {
	seconds := 0.0
	if a.Trace != nil {
		seconds, n = a.Trace.LengthS, 0
	}
	for i := range n {
		seconds += 1 / rateAt(a, i, n)
	}
	return time.Duration(min(seconds, math.MaxInt64/2/float64(time.Second)) * float64(time.Second))
}

// gamma draws from the gamma distribution of a shape above 0 and scale 1, after Marsaglia and Tsang, "A simple method for
// generating gamma variables", ACM TOMS 26 (2000). A shape below 1 is drawn one higher and brought back with a power of
// a uniform variable, as said there.
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(1-rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// Stream is the random stream of one purpose in one repeat of a test. It depends on nothing else, so that every machine
// that takes part in a load, and every attempt at it, draws the same.
func Stream(seed int64, purpose, test string, run int) *rand.Rand {
	var b []byte
	for _, v := range []uint64{uint64(seed), uint64(run), uint64(len(purpose))} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(append(b, purpose...), test...))))
}
