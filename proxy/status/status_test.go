package status

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

var report = Report{
	Time: time.Date(2026, 11, 22, 10, 9, 4, 0, time.Local), Current: 1, ClientsMax: 2048, ConnMax: 500, ConnUsed: 1, ConnLast: 0,
	Servers: []Server{
		{Address: "127.0.0.1", Port: 7101},
		{Address: "<b>", Blacklisted: time.Unix(1795342144, 0), Port: 7102, Conns: 1, Max: 3, Hard: 4, Weight: 5, Prio: 6, Sent: 429, Received: 375},
	},
	Clients: []Client{{Address: "127.0.0.1", Age: 90 * time.Second, Last: 1, Connects: 2, Sent: 375, Received: 429}},
	Conns:   []Conn{{DownFD: 7, UpFD: 8, Server: 1}},
}

// TestHTML: the page begins as the original's does, has its three tables, and shows no name as markup.
func TestHTML(t *testing.T) {
	page := report.HTML()
	if want := "<html>\n<head>\n<title>Pen status page</title>\n</head>\n<body bgcolor=\"#ffffff\"><h1>Pen status page</h1>\n" +
		"Time 2026-11-22 10:09:04, 2 servers, 1 current<p>\n<table bgcolor=\"#c0c0c0\">\n<tr>\n<td bgcolor=\"#80f080\">server</td>\n"; !strings.HasPrefix(page, want) {
		t.Errorf("the page begins %q", page[:min(len(page), len(want))])
	}
	for _, want := range []string{
		"<tr>\n<td>1</td>\n<td>&lt;b&gt;</td>\n<td>1795342144</td>\n<td>7102</td>\n<td>1</td>\n<td>3</td>\n<td>4</td>\n<td>429</td>\n<td>375</td>\n<td>5</td>\n<td>6</td>\n</tr>\n",
		"<h2>Active clients</h2>Max number of clients: 2048<p><table bgcolor=\"#c0c0c0\">\n",
		"<tr>\n<td>0</td>\n<td>127.0.0.1</td>\n<td>90</td>\n<td>1</td>\n<td>2</td>\n<td>375</td>\n<td>429</td>\n</tr>\n",
		"<h2>Active connections</h2>Number of connections: 500 max, 1 used, 0 last<p><table bgcolor=\"#c0c0c0\">\n",
		"<tr>\n<td>0</td>\n<td>7</td>\n<td>8</td>\n<td>0</td>\n<td>0</td>\n<td>0</td>\n<td>1</td>\n</tr>\n</table>\n</body>\n</html>\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("missing %q", want)
		}
	}
	if n := strings.Count(page, "<table "); n != 3 {
		t.Errorf("%d tables", n)
	}
}

func TestText(t *testing.T) {
	got := strings.Join(report.Text(), "\n")
	want := "Time 2026-11-22 10:09:04, 2 servers, 1 current\n" +
		"Server 0 status:\naddress 127.0.0.1\n0\nport 7101\n0 connections (0 soft, 0 hard)\n0 sent, 0 received\n\n" +
		"Server 1 status:\naddress <b>\n1795342144\nport 7102\n1 connections (3 soft, 4 hard)\n429 sent, 375 received\n\n" +
		"Max number of clients: 2048\nActive clients:\n" +
		"Client 0 status:\naddress 127.0.0.1\nlast used " + strconv.FormatInt(report.Time.Unix()-90, 10) + "\nlast server 1\nconnects 2\nsent 375, received 429\n\n" +
		"Max number of connections: 500\nActive connections:\n" +
		"Connection 0 status:\ndownfd = 7, upfd = 8\npending data 0 down, 0 up\nclient 0, server 1\n"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestHealth: what checks have found out comes behind what the original shows, and only where there are checks.
func TestHealth(t *testing.T) {
	checked := report
	checked.Servers = []Server{{Address: "a", Port: 80, Health: "down"}, {Address: "b"}}
	page := checked.HTML()
	for _, want := range []string{"<td bgcolor=\"#80f080\">health</td>\n</tr>\n", "<td>0</td>\n<td>down</td>\n</tr>\n", "<td>0</td>\n<td></td>\n</tr>\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("missing %q in\n%s", want, page)
		}
	}
	if strings.Contains(report.HTML(), "health") {
		t.Error("health without checks")
	}
	if text := strings.Join(checked.Text(), "\n"); !strings.Contains(text, "\nServer 0 health: down\n") || strings.Contains(text, "Server 1 health") {
		t.Error(text)
	}
}
