//go:build race

package main

// raceDetector says that the tests, and so the programs that the scripts run, are built with the race detector.
const raceDetector = true
