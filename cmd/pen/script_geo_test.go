package main

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/rogpeppe/go-internal/testscript"
)

// mmdb makes a database of places, laid out as MaxMind's, and puts it where it belongs as a whole: mmdb FILE PREFIX=COUNTRY,CONTINENT,ASN…
// What is empty the database does not know.
func mmdb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mmdb FILE PREFIX=COUNTRY,CONTINENT,ASN…")
	}
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", BuildEpoch: 1767225600, IncludeReservedNetworks: true}) // 2026-01-01
	ts.Check(err)
	for _, arg := range args[1:] {
		prefix, place, _ := strings.Cut(arg, "=")
		_, network, err := net.ParseCIDR(prefix)
		ts.Check(err)
		words := strings.Split(place, ",")
		if len(words) != 3 {
			ts.Fatalf("%q: expected PREFIX=COUNTRY,CONTINENT,ASN", arg)
		}
		ts.Check(tree.Insert(network, placeRecord(ts, words)))
	}
	var content bytes.Buffer
	_, err = tree.WriteTo(&content)
	ts.Check(err)
	part := ts.MkAbs(args[0] + ".part")
	ts.Check(os.WriteFile(part, content.Bytes(), 0o600))
	ts.Check(os.Rename(part, ts.MkAbs(args[0])))
}

// placeRecord is what a database says of a country, a continent and the number of an autonomous system.
func placeRecord(ts *testscript.TestScript, words []string) mmdbtype.Map {
	r := mmdbtype.Map{}
	if words[0] != "" {
		r["country"] = mmdbtype.Map{"iso_code": mmdbtype.String(words[0])}
	}
	if words[1] != "" {
		r["continent"] = mmdbtype.Map{"code": mmdbtype.String(words[1])}
	}
	if words[2] != "" {
		n, err := strconv.ParseUint(words[2], 10, 32)
		ts.Check(err)
		r["autonomous_system_number"] = mmdbtype.Uint32(n)
	}
	return r
}
