package main

import (
	"context"
	"time"

	"intray/cmd/internal/cli"
)

type healthCommand struct {
	URL string `arg:"" name:"url" help:"URL to request."`
}

// Run requests the URL once.
func (c healthCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return cli.Healthy(ctx, c.URL)
}
