// Command grpc is a gRPC server, and a client that tries all that gRPC can do, for the tests: grpc serve ADDRESS PIDFILE, or grpc ask ADDRESS CA CASE….
// It is a module of its own, so that the project does not depend on gRPC.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "serve":
		err = serve(os.Args[2], os.Args[3])
	case len(os.Args) > 4 && os.Args[1] == "ask":
		err = ask(os.Args[2], os.Args[3], os.Args[4:])
	default:
		err = fmt.Errorf("usage: grpc serve ADDRESS PIDFILE | grpc ask ADDRESS CA CASE…")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
