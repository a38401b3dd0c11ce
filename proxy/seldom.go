package proxy

import (
	"sync"
	"time"

	"edgepen/proxy/backend"
)

// seldom says of a server what goes on happening, since strangers cause it, no more than now and then. The zero seldom is ready to use.
type seldom struct {
	mu   sync.Mutex
	said map[*backend.State]*saying
}

// saying is when something was said, and how often it was not since.
type saying struct {
	at     time.Time
	unsaid int
}

// sayEvery is the time between two records of the same.
const sayEvery = 10 * time.Second

// say reports whether it is to be said, and how often it was not since the last time.
func (s *seldom) say(about *backend.State, now time.Time) (unsaid int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.said[about]
	if last != nil && now.Sub(last.at) < sayEvery {
		last.unsaid++
		return 0, false
	}
	if last != nil {
		unsaid = last.unsaid
	}
	if s.said == nil {
		s.said = map[*backend.State]*saying{}
	}
	s.said[about] = &saying{at: now}
	return unsaid, true
}
