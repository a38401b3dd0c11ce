package udp

// engines are all that this system can run: each has to pass all tests of the Server.
var engines = map[string]starter{"event loop": newEngine, "goroutines": newGoroutines}
