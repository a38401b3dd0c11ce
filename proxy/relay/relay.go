// Package relay moves bytes between a client and a server whose connections are established: Raw as they come, HTTP
// message by message. It knows neither balancing nor configuration: deadlines are values, counters and records are plain
// calls, and nothing in it waits on anything but the two connections. This engine is goroutines: one for a half-duplex
// HTTP exchange, two where both sides may speak at once.
package relay
