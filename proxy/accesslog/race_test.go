//go:build race

package accesslog

// raceDetector: sync.Pool forgets at random under it.
const raceDetector = true
