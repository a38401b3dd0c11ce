// Package certs knows every certificate, key and CA: it reads them from the
// files that a Source names, checks them, and hands out an immutable Set. It
// says in words what is wrong with a file and what was expected, and which
// files have changed since.
package certs
