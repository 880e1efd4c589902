# bench with NVML: the driver's library comes into the container with the GPU.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN make build

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/bin/bench /usr/local/bin/bench
ENV NVIDIA_DRIVER_CAPABILITIES=utility,compute
WORKDIR /work
ENTRYPOINT ["bench"]
