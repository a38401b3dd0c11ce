package acme

// Check reports what is wrong with c. Of the files that it names only CARoots
// is read; nothing is made, and nobody is asked.
func (c Config) Check() error {
	_, err := c.check()
	return err
}
