package local

import (
	"context"
	"syscall"
	"time"
)

// A Process describes a program that [Servers.Run] keeps running.
type Process struct {
	// Name is the process's name in messages, in stack.json and of its log, DIR/log/NAME.log.
	Name string
	// Path is the program. Default: [Config].Executable.
	Path string
	// Args are its arguments, without the program's name.
	Args []string
	// Env is its whole environment, as "KEY=value"; nothing is inherited.
	Env []string
	// Dir is its working directory. Default: the data folder.
	Dir string
	// Ready reports nil once the process does its work. It is asked every few milliseconds
	// until then, each time with a deadline of its own. Default: ready as soon as it is
	// started.
	Ready func(context.Context) error
	// ReadyTimeout bounds the wait for Ready. Default: 60 s.
	ReadyTimeout time.Duration
	// BeforeStart runs before each start, the first one included; an error counts as a death.
	BeforeStart func(context.Context) error
	// StopSignal asks the process to end. Default: SIGTERM.
	StopSignal syscall.Signal
	// StopTimeout bounds the wait after StopSignal; SIGKILL follows. Default: 10 s.
	StopTimeout time.Duration

	// deathSignal is what the kernel sends when the starter dies. Default: SIGKILL.
	deathSignal syscall.Signal
	// user is whom the process runs as. Default: whoever the starter is.
	user *account
}

func (p Process) withDefaults(dir string) Process {
	if p.Dir == "" {
		p.Dir = dir
	}
	if p.Ready == nil {
		p.Ready = func(context.Context) error { return nil }
	}
	if p.ReadyTimeout == 0 {
		p.ReadyTimeout = time.Minute
	}
	if p.BeforeStart == nil {
		p.BeforeStart = func(context.Context) error { return nil }
	}
	if p.StopSignal == 0 {
		p.StopSignal = syscall.SIGTERM
	}
	if p.StopTimeout == 0 {
		p.StopTimeout = 10 * time.Second
	}
	if p.deathSignal == 0 {
		p.deathSignal = syscall.SIGKILL
	}
	return p
}
