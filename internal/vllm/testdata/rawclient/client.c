// A bare client to compare stamps with: one thread, epoll, no parsing beyond a search for bytes.
// usage: client PORT ID TOKENS N [N…]: bursts of N requests of so many tokens, one after another.
// Writes "ID-i sent first last" per request of each burst, monotonic nanoseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn { int fd; long long sent, first, last; char tail[32]; size_t tail_len; };

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static char buf[1 << 16];

static int burst(int ep, int port, const char *id, int tokens, int n) {
	int one = 1, open = n;
	struct conn *conns = calloc(n, sizeof *conns);
	for (int i = 0; i < n; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
		conns[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(conns[i].fd, (struct sockaddr *)&a, sizeof a)) return 1;
		setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e);
	}
	usleep(50000);
	for (int i = 0; i < n; i++) {
		char body[64], req[512];
		int len = snprintf(body, sizeof body, "{\"max_tokens\":%d}", tokens);
		len = snprintf(req, sizeof req, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s-%d\r\nContent-Length: %d\r\n\r\n%s", id, i, len, body);
		conns[i].sent = now();
		if (write(conns[i].fd, req, len) != len) return 1;
	}
	while (open > 0) {
		struct epoll_event ready[64];
		int k = epoll_wait(ep, ready, 64, 30000);
		if (k <= 0) return 1;
		for (int j = 0; j < k; j++) {
			struct conn *c = ready[j].data.ptr;
			memcpy(buf, c->tail, c->tail_len);
			ssize_t got = read(c->fd, buf + c->tail_len, sizeof buf - c->tail_len);
			long long at = now();
			if (got <= 0) return 1;
			size_t have = c->tail_len + got;
			// The kept tail holds a marker cut by the end of a read; a whole one never stands in it
			// again, since more than its length follows every token.
			if (memmem(buf, have, "\"tok\"", 5)) {
				if (!c->first) c->first = at;
				c->last = at;
			}
			if (memmem(buf, have, "\r\n0\r\n\r\n", 7)) {
				close(c->fd);
				open--;
				continue;
			}
			c->tail_len = have < 6 ? have : 6;
			memmove(c->tail, buf + have - c->tail_len, c->tail_len);
		}
	}
	for (int i = 0; i < n; i++)
		printf("%s-%d %lld %lld %lld\n", id, i, conns[i].sent, conns[i].first, conns[i].last);
	free(conns);
	return 0;
}

int main(int argc, char **argv) {
	if (argc < 5) return 2;
	int ep = epoll_create1(0);
	for (int i = 4; i < argc; i++)
		if (burst(ep, atoi(argv[1]), argv[2], atoi(argv[3]), atoi(argv[i]))) return 1;
	return 0;
}
