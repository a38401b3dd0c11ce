package streams

import "strconv"

// The frame around a chunk: its size in at most eight digits, and two line ends.
const (
	sizeLine = 8 + len("\r\n")
	// Around is how much longer a chunk is than its data, at most.
	Around = sizeLine + len("\r\n")
)

// Room is where in p data is to be read to, so that Chunk can put the frame of a chunk around it; p has to be longer than Around.
func Room(p []byte) []byte { return p[sizeLine : len(p)-2] }

// Chunk puts the frame of a chunk around the n bytes in Room(p), and returns how much of p that takes.
func Chunk(p []byte, n int) int {
	size := strconv.AppendInt(make([]byte, 0, sizeLine), int64(n), 16)
	size = append(size, "\r\n"...)
	copy(p, size)
	copy(p[len(size):], p[sizeLine:sizeLine+n])
	copy(p[len(size)+n:], "\r\n")
	return len(size) + n + 2
}
