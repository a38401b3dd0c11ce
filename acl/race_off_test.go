//go:build !race

package acl

// raceDetector is whether the tests run under the race detector.
const raceDetector = false
