# Fits problems with R for bench/exactness/programs.py, which starts this as `Rscript programs.R FOLDER`,
# writes problems into FOLDER and commands to its standard input, one a line:
#
#     fit PROBLEM PROGRAM            write the fitted values at the knots into FOLDER/fitted; say "ok"
#     time PROBLEM PROGRAM REPEATS   say the mean seconds of so many fits with evaluation
#
# or, if R refuses, what it says. A problem is a file of doubles: n, columns, points, lam, then knots,
# weights, values column by column, points. lam < 0: chosen by GCV.

suppressPackageStartupMessages(library(mgcv))
options(warn = 2) # a warning is an error here: who warns has not failed in silence
folder <- commandArgs(TRUE)[1]
SEGMENTS <- 40 # of a P-spline; Eilers and Marx: about n / 4, at most 40

read_problem <- function(name) {
  path <- file.path(folder, name)
  v <- readBin(path, "double", file.size(path) / 8)
  n <- v[1]
  take <- function(from, count) v[4 + from + seq_len(count)]
  x <- take(0, n)
  width <- x[n] - x[1]
  w <- take(n, n)
  list(
    # R rescales weights to a mean of 1 and knots to [0, 1]
    x = x, w = if (all(w == 1)) NULL else w, lam = v[4], lambda = v[4] / mean(w) / width^3,
    # the integral of f''^2 as squared second differences of the coefficients, spacing h
    sp = v[4] / (1.002 * width / SEGMENTS)^3,
    y = matrix(take(2 * n, n * v[2]), n), points = take((2 + v[2]) * n, v[3]),
    tol = min(diff(x)) / 4 # merges no knots
  )
}

smooth_spline <- function(p, y) {
  if (p$lam < 0) return(smooth.spline(p$x, y, p$w, all.knots = TRUE, tol = p$tol, keep.data = FALSE))
  smooth.spline(p$x, y, p$w,
    lambda = p$lambda, all.knots = TRUE, tol = p$tol, cv = NA, keep.data = FALSE
  )
}

p_spline <- function(p, y) {
  sp <- if (p$lam < 0) NULL else p$sp
  frame <- data.frame(x = p$x, y = y, w = if (is.null(p$w)) 1 else p$w)
  gam(y ~ s(x, bs = "ps", m = c(2, 2), k = SEGMENTS + 3),
    data = frame, weights = w, sp = sp, method = "GCV.Cp",
    control = gam.control(scalePenalty = FALSE)
  )
}

# A cubic spline with a coefficient a knot, penalised as the smoothing spline is; with more than 200
# a fit takes ten seconds
reml_spline <- function(p, y) {
  frame <- data.frame(x = p$x, y = y, w = if (is.null(p$w)) 1 else p$w)
  gam(y ~ s(x, bs = "cr", k = min(length(p$x), 200)), data = frame, weights = w, method = "REML")
}

PROGRAMS <- list(
  R = list(
    fitted = function(p, y) smooth_spline(p, y)$y,
    evaluate = function(p, y) predict(smooth_spline(p, y), p$points)$y
  ),
  "P-spline" = list(
    fitted = function(p, y) as.vector(fitted(p_spline(p, y))),
    evaluate = function(p, y) predict(p_spline(p, y), data.frame(x = p$points))
  ),
  REML = list( # chooses lam, whatever the problem's
    fitted = function(p, y) as.vector(fitted(reml_spline(p, y))),
    evaluate = function(p, y) predict(reml_spline(p, y), data.frame(x = p$points))
  )
)

each_column <- function(p, f) vapply(seq_len(ncol(p$y)), function(j) f(p, p$y[, j]), p$points)

answer <- function(verb, problem, program, repeats = "1") {
  p <- read_problem(problem)
  f <- PROGRAMS[[program]]
  if (verb == "fit") {
    writeBin(f$fitted(p, p$y[, 1]), file.path(folder, "fitted"))
    return("ok")
  }
  start <- Sys.time()
  for (i in seq_len(as.integer(repeats))) each_column(p, f$evaluate)
  format(as.double(Sys.time() - start, units = "secs") / as.integer(repeats), digits = 17)
}

say <- function(text) {
  cat(gsub("\n", " ", text), "\n", sep = "")
  flush(stdout())
}
say(paste(getRversion(), packageVersion("mgcv")))
input <- file("stdin", "r")
while (length(line <- readLines(input, 1))) {
  words <- strsplit(line, " ")[[1]]
  say(tryCatch(do.call(answer, as.list(words)), error = conditionMessage))
}
