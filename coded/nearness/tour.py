"""Short paths by greedy edges, 2-opt and Or-opt, see `paths.short_path`.

A dummy, node K, at distance 0 from all K rows, closes the path to a tour, which is kept as the
nodes by place and the places by node. A pass values all moves on the tour as it is then and lists
those that shorten it, each by its gain and a code, a number that tells the move. Then it makes
them, the best first, of equal ones the lower code first, each if the edges that it exchanges are
still there: a matter of the distances alone.
"""

import numpy as np

from fastspline.jit import INLINED, JIT, njit

NEAREST = 10  # neighbours of each row that moves are sought among; more shorten by less than 1 %
LONGEST_PIECE = 3  # of nodes that are put elsewhere
ROUNDING = 16 * 2.0**-52  # a gain sums six lengths: below this share of the longest it is none
LARGEST = 1e300  # sums of six such lengths are finite
SHELL = 2.25  # ratio of the gaps of Shell's sort


@njit(**JIT)
def lay_along_paths(problems, paths):
    """Fill `paths` (problems, K); give the flat index of the first bad distance, or -1."""
    n_rows = paths.shape[1]
    size = n_rows + 1
    n_near = min(NEAREST, n_rows - 1) + 1
    lengths = np.empty((size, size))
    near = np.empty((size, n_near), dtype=np.int64)
    beside = np.empty((2, size), dtype=np.int64)
    steps = np.empty((3, size))
    tour = np.empty((3, size), dtype=np.int64)
    position = np.empty(size, dtype=np.int64)
    capacity = 2 * (2 * LONGEST_PIECE - 1) * size * n_near
    gains = np.empty(capacity)
    codes = np.empty(capacity, dtype=np.int64)
    edges, moves = (beside, steps), (gains, codes)
    for problem in range(len(problems)):
        bad, longest = tabulate_lengths(problems[problem], lengths)
        if bad >= 0:
            return problem * n_rows * n_rows + bad
        least_gain = ROUNDING * longest
        for i in range(n_rows):
            select_least(lengths[i, :n_rows], near[i, : n_near - 1])
            near[i, n_near - 1] = n_rows
        for k in range(n_near):
            near[n_rows, k] = n_rows
        join_greedily(lengths, near, steps[0], beside, tour[1], tour[0])
        for i in range(size):
            position[tour[0, i]] = i
        is_shortened = True
        while is_shortened:
            look_beside(tour[0], lengths, beside, steps)
            count = list_reversals(lengths, near, edges, least_gain, moves)
            sort_moves(gains[:count], codes[:count])
            is_shortened = reverse_pieces(codes[:count], near, beside, tour[0], position)
            if is_shortened:
                continue
            select_by_steps(tour[0], steps, near[n_rows])
            count = list_relocations(lengths, near, edges, tour[0], position, least_gain, moves)
            sort_moves(gains[:count], codes[:count])
            is_shortened = relocate_pieces(codes[:count], near, beside, tour, position)
        start = position[n_rows] + 1
        for i in range(n_rows):
            paths[problem, i] = tour[0, start + i if start + i < size else start + i - size]
    return -1


@njit(**JIT)
def tabulate_lengths(distances, lengths):
    """Mirror the upper triangle, inf on the diagonal; give the flat index of a bad one, longest."""
    n_rows = len(distances)
    longest = 0.0
    lengths[n_rows, n_rows] = 0.0
    for i in range(n_rows):
        lengths[i, i] = np.inf
        lengths[i, n_rows] = lengths[n_rows, i] = 0.0
        for j in range(i + 1, n_rows):
            distance = distances[i, j]
            if not 0.0 <= distance <= LARGEST:
                return i * n_rows + j, longest
            lengths[i, j] = lengths[j, i] = distance
            longest = max(longest, distance)
    return -1, longest


@njit(**JIT)
def select_least(keys, chosen):
    """Fill `chosen` with the places of the least keys, ascending, of equal ones the first."""
    n_chosen, count = len(chosen), 0
    if n_chosen == 0:
        return
    for i in range(len(keys)):
        key = keys[i]
        if count == n_chosen:
            if not key < keys[chosen[count - 1]]:
                continue
        else:
            count += 1
        j = count - 1
        while j > 0 and key < keys[chosen[j - 1]]:
            chosen[j] = chosen[j - 1]
            j -= 1
        chosen[j] = i


@njit(**JIT)
def join_greedily(lengths, near, shortest, links, other_end, tour):
    """Join fragments by the shortest edge between their ends; lay the path, and the dummy last.

    `other_end` of what is inside a fragment is -1. The edge of a node in `shortest` is as last
    seen: edges only ever go, so that it is too short at most.
    """
    n_rows, n_near = len(lengths) - 1, near.shape[1] - 1
    heap = np.empty(n_rows, dtype=np.int64)
    partner = np.empty(n_rows, dtype=np.int64)
    seen = np.empty(n_rows, dtype=np.int64)
    for i in range(n_rows):
        links[0, i] = links[1, i] = -1
        heap[i] = other_end[i] = i
        seen[i], partner[i] = 0, near[i, 0]
        shortest[i] = lengths[i, partner[i]]
    for k in range(n_rows // 2 - 1, -1, -1):
        sift_down(shortest, heap, k)
    first, n_joined, top = 0, 1, np.int64(0)  # a literal would make another specialisation
    while n_joined < n_rows:
        i = heap[0]
        j = partner[i]
        if other_end[i] < 0:
            shortest[i] = np.inf
        elif other_end[j] < 0 or other_end[i] == j:
            while seen[i] < n_near:
                j = near[i, seen[i]]
                if other_end[j] >= 0 and other_end[i] != j:
                    break
                seen[i] += 1
            if seen[i] == n_near:
                j = i  # at distance inf
                for k in range(n_rows):
                    if lengths[i, k] < lengths[i, j] and other_end[k] >= 0 and other_end[i] != k:
                        j = k
            partner[i], shortest[i] = j, lengths[i, j]
        else:
            first, last = other_end[i], other_end[j]
            link(links, other_end, i, j)
            link(links, other_end, j, i)
            other_end[first], other_end[last] = last, first
            n_joined += 1
        sift_down(shortest, heap, top)
    before, node = -1, first
    for k in range(n_rows):
        tour[k] = node
        after = links[0, node] if links[0, node] != before else links[1, node]
        before, node = node, after
    tour[n_rows] = n_rows


@njit(**INLINED)
def link(links, other_end, node, neighbour):
    """Add an edge at a node; with two it is inside a fragment."""
    if links[0, node] < 0:
        links[0, node] = neighbour
    else:
        links[1, node] = neighbour
        other_end[node] = -1


@njit(**JIT)
def sift_down(keys, heap, k):
    """Move down what is at place k of a heap, the least key first, of equal ones the lower node."""
    node = heap[k]
    while 2 * k + 1 < len(heap):
        child = 2 * k + 1
        if child + 1 < len(heap) and is_before(keys, heap[child + 1], heap[child]):
            child += 1
        if not is_before(keys, heap[child], node):
            break
        heap[k] = heap[child]
        k = child
    heap[k] = node


@njit(**INLINED)
def is_before(keys, i, j):
    """Tell whether node i has the lesser key, or an equal one and the lower number."""
    return keys[i] < keys[j] or (keys[i] == keys[j] and i < j)


@njit(**JIT)
def look_beside(tour, lengths, beside, steps):
    """Tell the node after each one and before it, and how far those are."""
    size = len(tour)
    node = tour[size - 1]
    for k in range(size):
        after = tour[k]
        beside[0, node], beside[1, after] = after, node
        steps[0, node] = steps[1, after] = lengths[node, after]
        node = after


@njit(**JIT)
def list_reversals(lengths, near, edges, least_gain, moves):
    """2-opt: edges p-q, r-s become p-r, q-s where that is shorter."""
    (beside, steps), (gains, codes) = edges, moves
    size, n_near = near.shape
    count = 0
    for way in range(2):
        for p in range(size):
            q = beside[way, p]
            length = steps[way, p]
            for k in range(n_near):
                r = near[p, k]
                s = beside[way, r]
                gain = length + steps[way, r] - lengths[p, r] - lengths[q, s]
                if gain > least_gain:
                    gains[count] = gain
                    codes[count] = encode_reversal(way, p, k, near)
                    count += 1
    return count


@njit(**INLINED)
def encode_reversal(way, p, k, near):
    """Tell a move by a number that rises by way, p and k in this order."""
    size, n_near = near.shape
    return (way * size + p) * n_near + k


@njit(**INLINED)
def decode_reversal(code, near):
    """Give way, p and k."""
    size, n_near = near.shape
    return code // n_near // size, code // n_near % size, code % n_near


@njit(**JIT)
def reverse_pieces(codes, near, beside, tour, position):
    """Turn round what lies between the edges p-q and r-s of each move, if they are there still."""
    size = len(near)
    is_shortened = False
    for code in codes:
        way, p, k = decode_reversal(code, near)
        r = near[p, k]
        at_p, at_q = position[p], position[beside[way, p]]
        at_r, at_s = position[r], position[beside[way, r]]
        if following(at_p, size) != at_q:
            at_p, at_q, at_r, at_s = at_q, at_p, at_s, at_r
        if following(at_p, size) != at_q or following(at_r, size) != at_s:
            continue
        low, high = min(at_p, at_r) + 1, max(at_p, at_r)
        while low <= high:
            tour[low], tour[high] = tour[high], tour[low]
            position[tour[low]], position[tour[high]] = low, high
            low += 1
            high -= 1
        is_shortened = True
    return is_shortened


@njit(**INLINED)
def following(place, size):
    """Give the place after this one on the circle."""
    return place + 1 if place + 1 < size else 0


@njit(**JIT)
def select_by_steps(tour, steps, chosen):
    """Fill `chosen` with the nodes before the longest steps: where to cut the path open."""
    for k in range(len(tour)):
        steps[2, k] = -steps[0, tour[k]]
    select_least(steps[2], chosen)
    for k in range(len(chosen)):
        chosen[k] = tour[chosen[k]]


@njit(**JIT)
def list_relocations(lengths, near, edges, tour, position, least_gain, moves):
    """Or-opt: pieces of 1 to 3 nodes go, either way round, between c and d if that is shorter."""
    (beside, steps), (gains, codes) = edges, moves
    size, n_near = near.shape
    count = 0
    for length in range(1, min(LONGEST_PIECE, size - 2) + 1):
        for start in range(size):
            head, tail = tour[start], tour[(start + length - 1) % size]
            before, after = beside[1, head], beside[0, tail]
            saved = steps[1, head] + steps[0, tail] - lengths[before, after]
            for turned in range(min(length, 2)):
                for k in range(n_near):
                    c = near[head, k]
                    to_head = lengths[head, c]
                    for way in range(2):
                        d = beside[way, c]
                        gain = saved + steps[way, c] - to_head - lengths[tail, d]
                        if gain > least_gain:
                            at_c, at_d = position[c] - start, position[d] - start
                            at_c += size if at_c < 0 else 0
                            at_d += size if at_d < 0 else 0
                            if min(at_c, at_d) >= length:  # not in the piece itself
                                gains[count] = gain
                                codes[count] = encode_relocation(
                                    length, turned, way, start, k, near
                                )
                                count += 1
                head, tail = tail, head
    return count


@njit(**INLINED)
def encode_relocation(length, turned, way, start, k, near):
    """Tell a move by a number that rises by the arguments in this order."""
    return encode_reversal(4 * length + 2 * turned + way, start, k, near)


@njit(**INLINED)
def decode_relocation(code, near):
    """Give length, turned, way, start and k."""
    kind, start, k = decode_reversal(code, near)
    return kind // 4, kind // 2 % 2, kind % 2, start, k


@njit(**JIT)
def relocate_pieces(codes, near, beside, tour, position):
    """Turn before-(head...tail)-after and c-d of each move into before-after, c-(head...tail)-d.

    Rows of `tour`: as it is, as it was when the moves were valued, and scratch.
    """
    size = len(near)
    for i in range(size):
        tour[1, i] = tour[0, i]
    is_shortened = False
    for code in codes:
        length, turned, way, start, k = decode_relocation(code, near)
        head, tail = tour[1, start], tour[1, (start + length - 1) % size]
        before, after = beside[1, head], beside[0, tail]
        if turned:
            head, tail, before, after = tail, head, after, before
        c = near[head, k]
        d = beside[way, c]
        # Counted from `after` on, away from the piece, which comes last.
        origin = position[after]
        ahead = following(position[tail], size) == origin
        at_head = count_from(origin, position[head], size, ahead)
        at_tail = count_from(origin, position[tail], size, ahead)
        at_before = count_from(origin, position[before], size, ahead)
        at_c = count_from(origin, position[c], size, ahead)
        at_d = count_from(origin, position[d], size, ahead)
        is_whole = at_before == at_head - 1 and at_tail == size - 1
        cut = max(at_c, at_d)
        if not is_whole or abs(at_c - at_d) != 1 or cut >= at_head:
            continue
        for i in range(size):
            place = i
            if i >= cut + size - at_head:
                place = i - (size - at_head)
            elif i >= cut:
                place = at_head + i - cut if at_c < at_d else size - 1 - (i - cut)
            place = origin + place if ahead else origin - place
            if place < 0:
                place += size
            elif place >= size:
                place -= size
            tour[2, i] = tour[0, place]
        for i in range(size):
            tour[0, i] = tour[2, i]
            position[tour[0, i]] = i
        is_shortened = True
    return is_shortened


@njit(**INLINED)
def count_from(origin, place, size, ahead):
    """Count the steps from one place on the circle to another, ahead or back."""
    steps = place - origin if ahead else origin - place
    return steps if steps >= 0 else steps + size


@njit(**JIT)
def sort_moves(gains, codes):
    """Sort by falling gain, of equal gains by rising code."""
    count = len(gains)
    gap = count
    while gap > 1:
        gap = 1 if gap == 2 else int(gap / SHELL)
        for i in range(gap, count):
            gain, code = gains[i], codes[i]
            j = i - gap
            while j >= 0 and (gains[j] < gain or (gains[j] == gain and codes[j] > code)):
                gains[j + gap], codes[j + gap] = gains[j], codes[j]
                j -= gap
            gains[j + gap], codes[j + gap] = gain, code
