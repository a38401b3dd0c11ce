package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// requestKept is how much of a request is compared, in bytes: pen cuts the first line at 100.
const requestKept = 99

// asked is what a client wanted of a server.
type asked struct{ server, request string }

// visit is a client and when it came, in Unix seconds.
type visit struct {
	client string
	at     int64
}

// aheadMax is how many lines are read that are too late for the window. A clock that was wrong for a moment has a few such lines before others that are
// not: they must not hide these.
const aheadMax = 1000

// window is the part of pen's log around the time that the web servers' logs have reached: memory is what it holds, and aheadMax lines.
type window struct {
	log    *logFile
	jitter int64 // seconds

	visits  map[asked][]visit // by time
	order   []expiry          // of all visits, as they came in
	ahead   []entry           // lines that are later, as they were read
	soonest int64             // time of the first of them to come in, with ahead
	atEnd   bool
}

type expiry struct {
	at   int64
	what asked
}

// entry is a line of pen's log.
type entry struct {
	what asked
	visit
}

func newWindow(log *logFile, jitter int64) *window {
	return &window{log: log, jitter: jitter, visits: map[asked][]visit{}}
}

// client is who asked a server for that at the time nearest to at, at most jitter away; of two, the earlier one.
func (w *window) client(server, request string, at int64) (client string, found bool, err error) {
	if err := w.move(at); err != nil {
		return "", false, err
	}
	if request == "" {
		return "", false, nil
	}
	nearest := w.jitter + 1
	all := w.visits[asked{server, clip(request)}]
	i, _ := slices.BinarySearchFunc(all, at, byTime)
	if i > 0 {
		// The first of those that came at the same time, as the original finds it.
		j, _ := slices.BinarySearchFunc(all[:i], all[i-1].at, byTime)
		if at-all[j].at < nearest {
			client, found, nearest = all[j].client, true, at-all[j].at
		}
	}
	if i < len(all) && all[i].at-at < nearest {
		client, found = all[i].client, true
	}
	return client, found, nil
}

func byTime(v visit, at int64) int { return cmp.Compare(v.at, at) }

// move reads what is up to jitter later than at, and lets go of what is too old for it and for lines that come late: web
// servers log a request when it ends, with the time when it began.
func (w *window) move(at int64) error {
	w.admit(at + w.jitter)
	for !w.atEnd && len(w.ahead) < aheadMax {
		text, ok, err := w.log.read()
		if err != nil {
			return err
		}
		if w.atEnd = !ok; !ok {
			break
		}
		what, v, ok := parseVisit(text)
		if !ok {
			w.log.reject(text, "client unix-time server request")
			continue
		}
		w.take(entry{what, v}, at+w.jitter)
	}
	gone := 0
	for gone < len(w.order) && w.order[gone].at < at-2*w.jitter {
		w.forget(w.order[gone].what)
		gone++
	}
	w.order = w.order[gone:]
	return nil
}

// admit lets in those of the lines read ahead that are not later than a time.
func (w *window) admit(latest int64) {
	if len(w.ahead) == 0 || w.soonest > latest {
		return
	}
	read := w.ahead
	w.ahead = w.ahead[:0]
	for _, e := range read {
		w.take(e, latest)
	}
	clear(read[len(w.ahead):])
}

// take takes a line that was read: in, unless it is later than a time, or else to those that wait.
func (w *window) take(e entry, latest int64) {
	if e.at <= latest {
		w.add(e.what, e.visit)
		return
	}
	if len(w.ahead) == 0 || e.at < w.soonest {
		w.soonest = e.at
	}
	w.ahead = append(w.ahead, e)
}

// add keeps visits in the order of time; pen's log is nearly so already.
func (w *window) add(what asked, v visit) {
	all := w.visits[what]
	i := len(all)
	for i > 0 && all[i-1].at > v.at {
		i--
	}
	w.visits[what] = slices.Insert(all, i, v)
	w.order = append(w.order, expiry{v.at, what})
}

// forget drops the oldest visit of a kind.
func (w *window) forget(what asked) {
	if all := w.visits[what]; len(all) > 1 {
		w.visits[what] = all[1:]
	} else {
		delete(w.visits, what)
	}
}

// parseVisit reads a line of pen's log: "CLIENT UNIXTIME SERVER REQUEST".
func parseVisit(text string) (what asked, v visit, ok bool) {
	client, text, _ := strings.Cut(text, " ")
	date, text, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
	server, request, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
	request = strings.TrimLeft(request, " ")
	at, err := strconv.ParseInt(date, 10, 64)
	if client == "" || server == "" || err != nil || at < -secondsMax || at > secondsMax {
		return what, v, false
	}
	return asked{canonical(server), clip(request)}, visit{client, at}, true
}

// clip is the part of a request that is compared.
func clip(request string) string { return request[:min(len(request), requestKept)] }
