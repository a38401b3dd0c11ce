package trafficlog

import (
	"fmt"
	"net"
	"sync"
	"time"

	"edgepen/proxy/logfile"
)

// sender sends lines to a penlogd, which may be there or not.
type sender struct {
	name   string
	report func(logfile.Loss)

	mu   sync.Mutex
	conn net.Conn     // nil: it is closed
	line []byte       // under construction
	loss logfile.Loss // that has not been reported
	told time.Time    // when one was
}

func newSender(name string, report func(logfile.Loss)) (*sender, error) {
	conn, err := dial(name)
	if err != nil {
		return nil, err
	}
	return &sender{name: name, report: report, conn: conn}, nil
}

// dialTimeout is how long a penlogd's name may take to be looked up.
const dialTimeout = 5 * time.Second

func dial(name string) (net.Conn, error) {
	conn, err := net.DialTimeout("udp", name, dialTimeout)
	if err != nil {
		return nil, fmt.Errorf("log to %s: %v", name, err)
	}
	return conn, nil
}

// send sends a line. That nobody takes it is known when the next one is sent, if at all.
func (s *sender) send(client, server string, data []byte) {
	if loss := s.write(client, server, data); loss.Lines > 0 {
		s.report(loss) // with nothing locked: whoever is told may be slow
	}
}

// write is send, and says which loss is to be reported.
func (s *sender) write(client, server string, data []byte) (due logfile.Loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return due
	}
	s.line = appendDatagram(s.line[:0], client, server, data)
	if _, err := s.conn.Write(s.line); err != nil {
		s.loss = logfile.Loss{Lines: s.loss.Lines + 1, Err: err}
	}
	if s.loss.Lines == 0 || time.Since(s.told) < logfile.ReportEvery {
		return due
	}
	due, s.loss, s.told = s.loss, due, time.Now()
	return due
}

// reopen looks up anew where the lines go. Losses from then on are news.
func (s *sender) reopen() error {
	conn, err := dial(s.name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.Close()
	s.conn, s.told = conn, time.Time{}
	return nil
}

// close ends it, and reports what has not been reported yet.
func (s *sender) close() error {
	s.mu.Lock()
	err, loss := s.conn.Close(), s.loss
	s.conn = nil
	s.mu.Unlock()
	if loss.Lines > 0 {
		s.report(loss)
	}
	return err
}
