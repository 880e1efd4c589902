//go:build !race

package vllm

const raceDetector = false
