//go:build nogeodb

package geo

var builtinContent []byte
