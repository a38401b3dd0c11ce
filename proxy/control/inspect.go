package control

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"edgepen/proxy"
)

// place reads the number of a connection. The original takes a missing one as 0.
func (c *call) place() (int, error) {
	if len(c.words) == 0 {
		return 0, nil
	}
	n, err := number(c.words[0], "a connection", -1<<31, 1<<31-1)
	if err != nil {
		return 0, fmt.Errorf("%s: %v", c.cmd.name, err)
	}
	return n, nil
}

func (c *call) connection() error {
	n, err := c.place()
	if err != nil {
		return err
	}
	st, ok := c.Connection(n)
	if !ok {
		c.printf("Connection %d out of range\n", n)
		return nil
	}
	c.printf("Connection %d:\nstate = %d\ndownfd = %d, upfd = %d\nclient = %d, server = %d\npend = 0\n",
		n, st.State, st.DownFD, st.UpFD, st.Client, st.Server)
	return nil
}

func (c *call) closeConnection() error {
	n, err := c.place()
	if err != nil {
		return err
	}
	if !c.CloseConnection(n) {
		c.printf("Connection %d out of range\n", n)
		return nil
	}
	c.printf("Forcibly closing connection %d\n", n)
	return nil
}

func (c *call) socket() error {
	if len(c.words) == 0 {
		return errors.New("socket wants a number: " + c.cmd.usage())
	}
	n, err := number(c.words[0], "a descriptor", -1<<31, 1<<31-1)
	if err != nil {
		return fmt.Errorf("socket: %v", err)
	}
	c.printf("Socket %d belongs to connection %d\n", n, c.SocketOwner(n))
	return nil
}

// status writes the status page into its file and prints it.
func (c *call) status() error {
	page := c.Report().HTML()
	if c.WebStats == "" || writePage(c.WebStats, page) != nil {
		c.printf("Unable to create webstats\n")
		if c.WebStats == "" {
			c.printf("no file is set for it: web_stats FILE (-w)\n")
		}
		return nil
	}
	c.printf("%s", page)
	return nil
}

// writePage writes the status page. It is called within an Update, and so waits for no reader of a pipe.
func writePage(name, page string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, 0o644)
	if errors.Is(err, syscall.ENXIO) {
		return fmt.Errorf("%s is a pipe that nobody reads", name)
	} else if err != nil {
		return err
	}
	f.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck // files know no deadline, and do not wait for readers
	_, err = f.WriteString(page)
	return errors.Join(err, f.Close())
}

// Statistics is what USR1 asks for: the status page is written into its file, or, if it has none, returned as lines.
func (i *Interpreter) Statistics() (lines []string, err error) {
	c := &call{Interpreter: i}
	err = i.Proxy.Update(func(d *proxy.Draft) error {
		c.Draft = d
		if c.WebStats == "" {
			lines = c.Report().Text()
			return nil
		}
		if err := writePage(c.WebStats, c.Report().HTML()); err != nil {
			return fmt.Errorf("status page: %v", err)
		}
		return nil
	})
	return lines, err
}
