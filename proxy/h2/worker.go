package h2

import (
	"os"
	"sync"
	"time"
)

// workers are the goroutines of a session that carry out exchanges. One that is done waits a little for the next: a new one would have to have its
// stack made large again.
type workers struct {
	all       sync.WaitGroup
	waiting   []chan *Stream // guarded by the session's lock
	dismissal bool           // dismiss is due
}

const (
	waitingMax  = 16          // so many wait at most,
	waitingTime = time.Second // and so long
)

// pageTime is how long a client may take for an answer of ours.
const pageTime = 2 * time.Second

// start begins a stream's exchange.
func (s *session) start(st *Stream) {
	s.mu.Lock()
	w := &s.workers
	if last := len(w.waiting) - 1; last >= 0 {
		free := w.waiting[last]
		w.waiting = w.waiting[:last]
		s.mu.Unlock()
		free <- st
		return
	}
	s.mu.Unlock()
	w.all.Add(1)
	go s.work(st)
}

// work carries out one exchange after the other.
func (s *session) work(st *Stream) {
	defer s.workers.all.Done()
	deepen()
	var next chan *Stream
	for st != nil {
		if st.page == nil {
			s.Exchange(st)
		} else {
			st.SetWriteDeadline(time.Now().Add(pageTime)) //nolint:errcheck // it never fails
			st.Write(st.page)                             //nolint:errcheck // the client sees it
		}
		st.finish()
		if next == nil {
			next = make(chan *Stream, 1)
		}
		if !s.await(next) {
			return
		}
		st = <-next
	}
}

// await has the next stream sent to a worker, unless enough wait already.
func (s *session) await(next chan *Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &s.workers
	if s.over != nil || len(w.waiting) >= waitingMax {
		return false
	}
	w.waiting = append(w.waiting, next)
	if !w.dismissal {
		w.dismissal = true
		time.AfterFunc(waitingTime, s.dismiss)
	}
	return true
}

// dismiss ends the workers that wait.
func (s *session) dismiss() {
	s.mu.Lock()
	waiting := s.workers.waiting
	s.workers.waiting, s.workers.dismissal = nil, false
	s.mu.Unlock()
	for _, next := range waiting {
		next <- nil
	}
}

// deepen makes room on a new goroutine's stack for all that an exchange needs of it. Where it grows bit by bit instead, what is on it has to be moved
// each time.
//
//go:noinline
func deepen() byte {
	var room [12 << 10]byte
	return room[len(os.Args)]
}
