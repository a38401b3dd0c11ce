package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// deviation is one bullet of a manual page's section about what is not as in the original. Either scenarios show that it is so, or there is a reason why none can.
type deviation struct {
	key    string // words that stand in this bullet, as plain writes it, and in no other
	seen   []sight
	unseen string
}

// sight is a scenario, the file of testdata/differential without .txtar, and the titles of what it observes, with "> COMMAND" behind where that is one of several
// replies.
type sight struct {
	scenario string
	titles   []string
}

// compared is a bullet that scenarios show.
func compared(key string, seen ...sight) deviation { return deviation{key: key, seen: seen} }

// uncompared is one that none does, and why.
func uncompared(key, why string) deviation { return deviation{key: key, unseen: why} }

func at(scenario string, titles ...string) sight { return sight{scenario, titles} }

// observation is what is not the same in both programs.
type observation struct{ scenario, title string }

// observations is all that are expected not to be the same. What is in two places is said by TestDifferencesAreInTheManual.
func observations() map[observation]bool {
	all := map[observation]bool{}
	for _, page := range manuals {
		for _, d := range page.deviations {
			for _, s := range d.seen {
				for _, title := range s.titles {
					all[observation{s.scenario, title}] = true
				}
			}
		}
	}
	return all
}

// TestDifferencesAreInTheManual: the manual's sections are the table of all differences, and manuals says of each bullet how it is known. Neither has anything
// that the other has not.
func TestDifferencesAreInTheManual(t *testing.T) {
	already := map[observation]string{}
	for _, page := range manuals {
		bullets := bulletsOf(t, page.name, page.section)
		for _, bullet := range bullets {
			if n := countIf(page.deviations, func(d deviation) bool { return strings.Contains(bullet, d.key) }); n != 1 {
				t.Errorf("%s: %d entries of the table, instead of one, are about the bullet %q", page.name, n, bullet)
			}
		}
		for _, d := range page.deviations {
			if n := countIf(bullets, func(bullet string) bool { return strings.Contains(bullet, d.key) }); n != 1 {
				t.Errorf("%s: %q stands in %d bullets of %q, instead of one", page.name, d.key, n, page.section)
			}
			if (len(d.seen) > 0) == (d.unseen != "") {
				t.Errorf("%s: %q: expected either scenarios or why there is none", page.name, d.key)
			}
			for _, s := range d.seen {
				for _, title := range s.titles {
					o := observation{s.scenario, title}
					if before, is := already[o]; is {
						t.Errorf("%+v shows both %q and %q", o, before, d.key)
					}
					already[o] = d.key
				}
			}
		}
	}
}

// TestEveryManualIsAsked: a section about differences that the table does not know would say what nobody holds it to.
func TestEveryManualIsAsked(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.1"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no manual pages: %v", err)
	}
	heading := regexp.MustCompile(`(?m)^\.Sh (.*DIFFERENCES.*)$`)
	for _, file := range pages {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
			if countIf(manuals, func(p manual) bool { return p.name == filepath.Base(file) && p.section == m[1] }) != 1 {
				t.Errorf("%s: nobody asks for the section %q", file, m[1])
			}
		}
	}
}

func countIf[T any](all []T, is func(T) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}

// bulletsOf is the items of a section's list, in plain words.
func bulletsOf(t *testing.T, name, section string) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n.Sh "+section+"\n")
	text, _, _ = strings.Cut(text, "\n.Sh ")
	items := strings.Split(text, "\n.It\n")[1:]
	if !found || len(items) == 0 {
		t.Fatalf("%s has no list in a section %q", name, section)
	}
	for i := range items {
		items[i] = plain(items[i])
	}
	return items
}

// plain is mdoc's text in one line, without its macros; of those in front of a word that mean a sign the sign stays.
func plain(page string) string {
	var words []string
	for line := range strings.Lines(page) {
		request := strings.HasPrefix(line, ".")
		for _, word := range strings.Fields(strings.TrimPrefix(line, ".")) {
			switch {
			case !request:
				words = append(words, word)
			case word == "Nm":
				words = append(words, "pen")
			case len(word) == 1 && strings.ContainsAny(word, ",.;:)") && len(words) > 0:
				words[len(words)-1] += word
			case regexp.MustCompile(`^[A-Z][a-z]$`).MatchString(word):
				continue
			default:
				words = append(words, word)
			}
		}
	}
	return strings.Join(words, " ")
}

// Why no scenario compares a difference, where that is true of several.
const (
	isNew     = "the original has nothing of the kind"
	needsNets = "frames need networks of their own, and the original has to be built for them: scripts with network namespaces show what ours does"
)

// manual is a page with such a section.
type manual struct {
	name, section string
	deviations    []deviation
}

var manuals = []manual{
	{"pen.1", "DIFFERENCES FROM THE ORIGINAL PEN", differencesOfPen},
	{"mergelogs.1", "DIFFERENCES FROM THE ORIGINAL", differencesOfMergelogs},
	{"penlog.1", "DIFFERENCES FROM THE ORIGINAL", differencesOfPenlog},
	{"penlogd.1", "DIFFERENCES FROM THE ORIGINAL", differencesOfPenlogd},
}

var differencesOfPen = []deviation{
	compared("A usage error prints", at("command-line", "no arguments", "-t 0", "unknown flag", "missing value", "unknown protocol")),
	compared("Letters have long names", at("command-line", "a long name")),
	compared("A word that should be a number", at("commands-with-mistakes",
		"reply > blacklist abc", "reply > blacklist -1", "reply > timeout 0", "reply > tracking -5", "reply > client_acl abc", "reply > conn_max abc", "reply > debug abc",
		"reply > idle_timeout abc", "reply > acl 1 permit 1.2.3", "reply > acl 1 permit 1.2.3.4.5", "reply > server 0 port abc", "reply > server abc",
		"reply > tcp_fastclose sideways", "reply > connection abc", "reply > acl 1 permit nonsense", "reply > acl 1 permit 1.2.3.4 nonsense",
		"reply > acl 1 permit ::1/200", "reply > acl 1 permit nonsense::x", "reply > no acl x", "reply > close x", "reply > recent x", "reply > recent -1",
		"reply > pending_max 0", "reply > pending_max abc", "settings at the end")),
	compared("A directory of certificates that cannot be used", at("commands", "reply > ssl_sni_path $WORK")),
	compared("is accepted as a listening address", at("command-lines-that-serve", "brackets")),
	uncompared("Several addresses may be listened on", isNew),
	compared("The connect time-out is 5 seconds", at("defaults", "reply > timeout")),
	compared("is carried out, as the original's usage promises", at("command-lines-that-serve", "-N")),
	compared("A daemon's parent waits", at("daemon", "a port in use")),
	compared("gives up root's supplementary groups too", at("user", "groups")),
	compared("Root gets a control port on a Unix socket", at("control-socket-of-root", "mode")),
	compared("The files of Unix sockets are removed at exit", at("files-at-the-end", "the socket listened on", "the control socket")),
	compared("The pid file is removed only while", at("files-at-the-end", "a pid file of another")),
	compared("INT and QUIT end", at("interrupt", "status", "the pid file")),
	uncompared("Messages have details", "all messages have other words than the original's"),
	compared("The lines of the request log are in its file", at("request-log-at-once", "while it runs")),
	compared("The request log has a line for each request", at("request-log-http", "lines")),
	compared("The text that USR1 prints", at("usr1", "addresses")),
	compared("What passes is printed from", at("dumps", "-dd")),
	compared("A refused connect fails over", at("refused-connect", "choices")),
	uncompared("A server's name may have several addresses", "names with several addresses need a name server that both programs ask; tests of package proxy have one in their process"),
	uncompared("A client that half-closes gets its reply", "the original loses it now and then only, so that it would be different in some runs"),
	uncompared("A reset is passed on as a reset", "which of the two it was is for the peer's kernel to see: tests of package relay look at its errors"),
	uncompared("Clients that are gone without a word", "it takes a client whose machine vanishes, and the minutes until it is missed"),
	uncompared("When file descriptors run out", "the two need different numbers of descriptors, so that what is too few for one is not for the other"),
	compared("A client that comes back after", at("tracking-ends", "choices")),
	compared("The abuse server asks no access list", at("abuse-with-the-default-list", "choices")),
	uncompared("idlers are handed to clients", "with idlers the original stops to listen when it is asked by a script, so that there is nobody to compare"),
	compared("chooses a server once the client's first bytes are there", at("peek", "who speaks first")),
	compared("for root; in the original nothing passes then", at("udp-of-root", "with -u")),
	compared("Datagrams of more than 32768 bytes and empty ones", at("udp-large", "more than 32768 bytes"), at("udp-empty", "answers")),
	compared("A datagram that is refused makes its server fail", at("udp-refused", "answers")),
	compared("udp_unanswered is new", at("new-commands", "reply > udp_unanswered")),
	compared("the path of a Unix socket to listen on is that of a datagram socket", at("udp-unix-socket", "kind")),
	compared("Of the flows the one without a datagram for longest", at("udp-full-server", "answers")),
	compared("Flows leave a server that is removed", at("udp-server-moves", "after")),
	compared("The bytes to servers count the first datagram", at("udp-statistics", "one datagram", "another one of the flow")),
	compared("is refused, because there are neither TLS nor HTTP on datagrams", at("command-lines-that-serve", "-U with -H")),
	uncompared("a server that does not answer ARP", needsNets),
	uncompared("later fragments and ICMP errors", needsNets),
	uncompared("only untagged frames for our own MAC address", needsNets),
	uncompared("weights, addresses and the other settings of servers", needsNets),
	uncompared("frames that the kernel has merged", needsNets),
	uncompared("ARP requests carry the interface's own address", needsNets),
	uncompared("The tarpit spares the servers", needsNets),
	compared("There are 256 lists, not 10", at("commands-with-mistakes", "reply > client_acl 10", "reply > tarpit_acl 10")),
	compared("IPv4 prefixes are written", at("acl-notation", "a prefix by its length", "all")),
	compared("A country entry without a database", at("commands-with-mistakes", "reply > acl 1 permit country XX")),
	compared("A database of countries is built in", at("status-page", "empty > status", "with a client > status"), at("usr1-page", "page")),
	compared("Entries country unknown", at("acl-notation", "new kinds")),
	compared("Denied clients may get something other", at("new-commands", "reply > denied")),
	compared("IPv4 clients of an IPv6 address count as IPv4", at("acl-notation", "IPv4 at an address of IPv6")),
	compared("Clients on Unix sockets can be denied", at("unix-client-acl", "a client")),
	compared("A server hears of a client only after the handshake", at("tls", "servers that hear of a client before its handshake")),
	compared("is sent, not the first certificate alone", at("tls", "certificates")),
	compared("TLS 1.2 with ECDHE and AEAD suites", at("tls", "a suite with CBC")),
	compared("chooses among these suites", at("tls-commands", "reply > ssl_ciphers no such suite", "reply > ssl_ciphers NO-SUCH-SUITE", "reply > ssl_option no_such_option"),
		at("commands-with-mistakes", "reply > ssl_option nonsense")),
	uncompared("There may be several certificates", isNew),
	uncompared("has no certificate for gets the default one", "the original's handshake fails in some runs only"),
	uncompared("An OCSP response is verified before it is stapled", "a response needs an authority that has just signed it, and the original staples none that is not good but breaks off: scripts of ours have one"),
	uncompared("has no effect, because clients may not renegotiate", "a command without effect looks like one whose effect nobody asks for"),
	compared("Keys are exchanged by X25519MLKEM768", at("tls", "X25519")),
	compared("The CAs named to clients", at("tls-client-cas", "names")),
	compared("is refused; the original trusts all public CAs", at("command-lines-that-serve", "-R without CAs")),
	compared("Certificates are read again at HUP", at("tls-renewed", "after")),
	compared("The fields Client-Cert and X-SSL-Client-Verify", at("client-certificate-fields", "verdict")),
	compared("means HTTP: what is none gets 400", at("http-failures", "no HTTP")),
	compared("Every request of a connection is rewritten", at("http-requests", "of two requests")),
	compared("X-Forwarded-For is set to what is known", at("http-requests", "a forged X-Forwarded-For")),
	compared("X-Forwarded-Host and -Port are set too", at("http-requests", "host and port", "fields of the connection")),
	compared("A server is connected to when the first good request is there", at("http-failures", "connections for a client that says nothing")),
	compared("Over TLS clients may speak HTTP/2", at("tls", "h2")),
	compared("Nothing reaches a server but what was checked", at("http-failures", "half a head")),
	compared("A client is told of failures by 502", at("http-failures", "no server")),
	compared("idle connections are closed after 60 seconds", at("defaults", "with -H > idle_timeout")),
	compared("clients that send a body, or take a response, more slowly", at("new-commands", "reply > body_rate")),
	compared("Errors of commands begin with",
		at("commands-with-mistakes", "reply > server 5 address not-a-host.invalid", "reply > include /nonexistent/file", "reply > write /nonexistent/file"),
		at("penctl", "unknown", "out of range")),
	compared("says more: the address and the reason", at("penctl", "no arguments", "no command", "nobody there", "nobody there by TCP"),
		at("status-page", "without a file > status", "without a file again > status"), at("commands", "reply > status")),
	compared("Where every server is the listening address itself", at("command-lines-that-serve", "itself as its server")),
	compared("An unknown word behind", at("commands-with-mistakes",
		"reply > mode extra", "reply > mode ; mode", "reply > no", "reply > no nonsense", "reply > no no hash", "reply > acl", "reply > acl 1", "reply > acl 1 frobnicate",
		"reply > acl 1 permit", "reply > server", "reply > server 0 nonsense", "reply > server 0 max", "reply > include", "reply > acl 1 permit country",
		"reply > server 0 acl", "reply > server 0 port", "reply > server 0 address", "reply > pending_max", "reply > dsr_if", "reply > dsr_ip",
		"reply > no dsr_ip extra", "reply > transparent extra", "reply > no ascii extra", "reply > no ssl_option no_tlsv1", "reply > ssl_ciphers",
		"reply > ssl_option", "reply > ssl_sni_path", "reply > write", "reply > socket"),
		at("switched-off", "reply > idle_timeout", "reply > tarpit_acl", "where connections come from")),
	compared("Tabs separate words as well", at("commands-with-mistakes", "reply > \tmode")),
	compared("A configuration file holds as a whole", at("file-with-mistakes", "a bad argument")),
	compared("on the control port is answered with the file's first mistake", at("include", "reply > include $WORK/mistake")),
	compared("A control client that sends nothing keeps nobody waiting", at("silent-control-client", "the next one"),
		at("control-acl", "denied > control_acl", "denied > mode",
			"unmatched, permit last > control_acl", "unmatched, permit last > mode", "denied by the last > control_acl", "denied by the last > mode")),
	compared("writes every setting, TLS and time-outs too", at("write", "servers", "number of lines")),
	compared("abuse, backlog, ca_dir", at("new-commands", "reply > trusted_proxies", "reply > abuse")),
	compared("block and delayed_forward", at("commands", "reply > block", "reply > delayed_forward")),
}

var differencesOfMergelogs = []deviation{
	compared("Wrong arguments exit with status 2", at("mergelogs-odd-lines", "no arguments")),
	uncompared("Times are right without", "the original's are an hour early in some runs only"),
	compared("No match is farther away than the jitter", at("mergelogs-odd-lines", "farther away than the jitter")),
	compared("Requests above 99 bytes", at("mergelogs-odd-lines", "a long request")),
	compared("Lines with an empty request", at("mergelogs-odd-lines", "odd requests")),
	compared("The user's name may hold brackets", at("mergelogs-what-clients-choose", "a name like a time and a request")),
	compared("A request is found too where the server writes quotes", at("mergelogs-what-clients-choose", "a request with a quote")),
	compared("Lines that are left out are reported", at("mergelogs-odd-lines", "what is left out", "-r")),
	compared("IPv6 addresses", at("mergelogs-odd-lines", "IPv6")),
	compared("Debugging goes to standard error", at("mergelogs-odd-lines", "-d")),
	compared("A time in pen's log that is far ahead", at("mergelogs-what-clients-choose", "a time far ahead")),
}

var differencesOfPenlog = []deviation{
	compared("A line is one datagram", at("penlog", "lines of 1500 bytes, and another")),
	compared("NUL does not end a line", at("penlog", "a line with NUL")),
	compared("server_ip: server_port", at("penlog", "ADDRESS:PORT")),
	compared("Wrong arguments exit with status 2", at("penlog", "no arguments")),
	uncompared("What cannot be sent is reported", "what cannot be sent depends on the networks that there are"),
}

var differencesOfPenlogd = []deviation{
	compared("what cannot be opened is reported before the command returns", at("penlogd-command-line", "a log that cannot be opened")),
	compared("Wrong arguments exit with status 2", at("penlogd-command-line", "no arguments", "a number that is none")),
	uncompared("IPv6.", isNew),
	uncompared("limits where to receive", isNew),
	uncompared("A server in an entry of pen is an IP address", "the name of a server would be looked up by whatever name server there is, and the original may end"),
	compared("Requests above 99 bytes", at("penlogd-odd-lines", "a long request")),
	compared("An empty request matches nothing", at("penlogd-odd-lines", "an empty request")),
	compared("The user's name and the request may hold quotes", at("penlogd-odd-lines", "a name with a quote")),
	compared("A request is found too where the server writes quotes", at("penlogd-odd-lines", "a request with a quote")),
	uncompared("A line needs an address and a blank", "the original reads such a line as what its memory holds from the one before"),
	compared("Each line is written at once", at("penlogd-odd-lines", "written at once")),
	compared("Datagrams may be longer than 1024 bytes", at("penlogd-odd-lines", "a long datagram")),
	compared("Control characters are written as dots", at("penlogd-odd-lines", "control characters")),
	compared("entries are searched; the original leaves out the oldest", at("penlogd-odd-lines", "the oldest entry")),
	compared("gives up the supplementary groups", at("penlogd-user", "groups")),
	compared("A log that cannot be opened anew at HUP", at("penlogd-hangup", "the old file")),
	uncompared("A pipe that nobody reads", "the original waits for the reader for ever"),
}
