//go:build race

package vllm

// raceDetector: an instrumented client is several times slower, so how late it is says nothing.
const raceDetector = true
