// Package status draws the state of a proxy: as the HTML page of "status" and -w, and as the lines that USR1 prints, in the
// shape of the original (pen(1), penctl(1)), which scripts read.
package status

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

// Report is the state of a proxy at a moment.
type Report struct {
	Time    time.Time
	Current int // server chosen last
	Servers []Server
	Clients []Client
	Conns   []Conn

	ClientsMax, ConnMax, ConnUsed, ConnLast int

	AccessLog               string // its name; "": there is none
	LinesWritten, LinesLost uint64

	Databases string // of places, with their dates; "": there are none
}

// Server is a server slot.
type Server struct {
	Address                        string
	Blacklisted                    time.Time // since when; the zero time: it is not
	Port                           int
	Conns, Max, Hard, Weight, Prio int
	Sent, Received                 uint64 // bytes to and from the server
	Health                         string // by health checks; "": there are none
}

// Client is an entry of the client table.
type Client struct {
	Index          int
	Address        string
	Age            time.Duration // since the last connect
	Last           int           // server, -1 for none
	Connects       uint64
	Sent, Received uint64 // bytes to and from the client
}

// Conn is a connection.
type Conn struct {
	Index, DownFD, UpFD    int // descriptors towards the client and the server, -1 for none
	PendingDown, PendingUp int // bytes that were read and not passed on yet
	Client, Server         int // index, -1 for none
}

// HTML is the status page.
func (r *Report) HTML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<html>\n<head>\n<title>Pen status page</title>\n</head>\n"+
		"<body bgcolor=\"#ffffff\"><h1>Pen status page</h1>\nTime %s, %d servers, %d current<p>\n",
		r.Time.Format(time.DateTime), len(r.Servers), r.Current)
	heads, checked := []string{"server", "address", "status", "port", "connections", "max soft", "max hard", "sent", "received", "weight", "prio"}, r.checked()
	if checked {
		heads = append(heads, "health")
	}
	table(&b, heads...)
	for i, s := range r.Servers {
		cells := []any{i, s.Address, s.status(), s.Port, s.Conns, s.Max, s.Hard, s.Sent, s.Received, s.Weight, s.Prio}
		if checked {
			cells = append(cells, s.Health)
		}
		row(&b, cells...)
	}
	fmt.Fprintf(&b, "</table>\n<h2>Active clients</h2>Max number of clients: %d<p>", r.ClientsMax)
	table(&b, "client", "address", "age(secs)", "last server", "connects", "sent", "received")
	for _, c := range r.Clients {
		row(&b, c.Index, c.Address, int(c.Age.Seconds()), c.Last, c.Connects, c.Sent, c.Received)
	}
	fmt.Fprintf(&b, "</table>\n<h2>Active connections</h2>Number of connections: %d max, %d used, %d last<p>", r.ConnMax, r.ConnUsed, r.ConnLast)
	table(&b, "connection", "downfd", "upfd", "pending data down", "pending data up", "client", "server")
	for _, c := range r.Conns {
		row(&b, c.Index, c.DownFD, c.UpFD, c.PendingDown, c.PendingUp, c.Client, c.Server)
	}
	b.WriteString("</table>\n")
	if r.AccessLog != "" {
		fmt.Fprintf(&b, "<h2>Access log</h2>%s: %d lines written, %d lost<p>\n", html.EscapeString(r.AccessLog), r.LinesWritten, r.LinesLost)
	}
	if r.Databases != "" {
		fmt.Fprintf(&b, "<h2>Databases of places</h2>%s<p>\n", html.EscapeString(r.Databases))
	}
	b.WriteString("</body>\n</html>\n")
	return b.String()
}

func table(b *strings.Builder, heads ...string) {
	b.WriteString("<table bgcolor=\"#c0c0c0\">\n<tr>\n")
	for _, h := range heads {
		fmt.Fprintf(b, "<td bgcolor=\"#80f080\">%s</td>\n", h)
	}
	b.WriteString("</tr>\n")
}

func row(b *strings.Builder, cells ...any) {
	b.WriteString("<tr>\n")
	for _, c := range cells {
		fmt.Fprintf(b, "<td>%s</td>\n", html.EscapeString(fmt.Sprint(c)))
	}
	b.WriteString("</tr>\n")
}

// status is what the original shows: when a server was blacklisted, in Unix seconds; 0 if it is not.
func (s *Server) status() int64 {
	if s.Blacklisted.IsZero() {
		return 0
	}
	return s.Blacklisted.Unix()
}

// checked reports whether there are health checks: without them all is as in the original.
func (r *Report) checked() bool {
	return slices.ContainsFunc(r.Servers, func(s Server) bool { return s.Health != "" })
}

// Text is what USR1 prints, entry by entry.
func (r *Report) Text() []string {
	lines := []string{fmt.Sprintf("Time %s, %d servers, %d current", r.Time.Format(time.DateTime), len(r.Servers), r.Current)}
	for i, s := range r.Servers {
		lines = append(lines, fmt.Sprintf("Server %d status:\naddress %s\n%d\nport %d\n%d connections (%d soft, %d hard)\n%d sent, %d received\n",
			i, s.Address, s.status(), s.Port, s.Conns, s.Max, s.Hard, s.Sent, s.Received))
		if s.Health != "" {
			lines = append(lines, fmt.Sprintf("Server %d health: %s", i, s.Health))
		}
	}
	lines = append(lines, fmt.Sprintf("Max number of clients: %d", r.ClientsMax), "Active clients:")
	for _, c := range r.Clients {
		lines = append(lines, fmt.Sprintf("Client %d status:\naddress %s\nlast used %d\nlast server %d\nconnects %d\nsent %d, received %d\n",
			c.Index, c.Address, r.Time.Add(-c.Age).Unix(), c.Last, c.Connects, c.Sent, c.Received))
	}
	lines = append(lines, fmt.Sprintf("Max number of connections: %d", r.ConnMax), "Active connections:")
	for _, c := range r.Conns {
		lines = append(lines, fmt.Sprintf("Connection %d status:\ndownfd = %d, upfd = %d\npending data %d down, %d up\nclient %d, server %d\n",
			c.Index, c.DownFD, c.UpFD, c.PendingDown, c.PendingUp, c.Client, c.Server))
	}
	if r.AccessLog != "" {
		lines = append(lines, fmt.Sprintf("Access log %s: %d lines written, %d lost", r.AccessLog, r.LinesWritten, r.LinesLost))
	}
	if r.Databases != "" {
		lines = append(lines, "Databases of places: "+r.Databases)
	}
	return lines
}
