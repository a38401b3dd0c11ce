//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// Scripts with networks of their own skip where the condition [networks] is not given.
func namespaces(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("namespaces need Linux") }
func within(ts *testscript.TestScript, _ bool, _ []string)     { ts.Fatalf("namespaces need Linux") }
