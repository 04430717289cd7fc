package local

import (
	"context"
	"syscall"
	"time"
)

// A Process describes a program that [Servers.Run] supervises.
type Process struct {
	// Name identifies the process in messages and in stack.json. Its log is DIR/log/NAME.log.
	Name string
	// Path is the path of the program. Default: [Config].Executable.
	Path string
	// Args are the arguments, without the program's name.
	Args []string
	// Env is the complete environment, as "KEY=value". No variables are inherited.
	Env []string
	// Dir is the working directory. Default: the data folder.
	Dir string
	// Ready returns nil once the process serves requests. It is called every few milliseconds until
	// then, each time with a deadline of its own. Default: the process is ready once it is started.
	Ready func(context.Context) error
	// ReadyTimeout bounds the time from the start of the process until Ready returns nil.
	// Default: 60 s.
	ReadyTimeout time.Duration
	// BeforeStart is called before each start of the process, including the first. An error counts as
	// an exit of the process.
	BeforeStart func(context.Context) error
	// StopSignal is the signal that asks the process to exit. Default: SIGTERM.
	StopSignal syscall.Signal
	// StopTimeout is how long the process may take to exit after StopSignal before it receives
	// SIGKILL. Default: 10 s.
	StopTimeout time.Duration

	// deathSignal is the signal that the kernel sends to the process when the process that started it
	// dies. Default: SIGKILL.
	deathSignal syscall.Signal
	// user is the operating system user that the process runs as. Default: that of this process.
	user *osUser
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
