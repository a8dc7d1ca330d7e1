# Fits by R's programs for bench/neighbours, which starts this as `Rscript worker.R FOLDER`; commands, files
# and answers are those of worker.py.

suppressPackageStartupMessages(library(mgcv))
folder <- commandArgs(TRUE)[1]
Z <- qnorm(0.975)
DRAWS <- 10000
STEP <- 1e-7 # of finite differences, relative to the range, as gratia's

read_problem <- function() {
  path <- file.path(folder, "problem")
  v <- readBin(path, "double", file.size(path) / 8)
  n <- v[1]
  take <- function(from, count) v[4 + from + seq_len(count)]
  list(
    x = take(0, n), y = matrix(take(n, n * v[2]), n), points = take(n + n * v[2], v[3]),
    lam = v[4]
  )
}

# The smoothing spline itself: a knot at each x, the penalty as it is.
full <- function(p, y) {
  n <- length(y)
  gam(y ~ s(x, bs = "cr", k = n),
    data = data.frame(x = p$x, y = y), knots = list(x = p$x), sp = p$lam,
    control = gam.control(scalePenalty = FALSE)
  )
}
usual <- function(k, method) function(p, y) {
  gam(y ~ s(x, bs = "cr", k = k), data = data.frame(x = p$x, y = y), method = method)
}

r_spline <- function(p, y, ...) smooth.spline(p$x, y, keep.data = FALSE, ...)
at_lam <- function(p, y) {
  r_spline(p, y, all.knots = TRUE, cv = NA, lambda = p$lam / diff(range(p$x))^3)
}

show_r <- function(fit) function(p) {
  f <- fit(p, p$y[, 1])
  nothing <- rep(NaN, length(p$points))
  c(predict(f, p$points)$y, predict(f, p$points, deriv = 1)$y, rep(nothing, 4))
}

# Bands as gratia computes them: of the slope from differences of the basis, the simultaneous one
# from the largest |draw| / se among draws of the coefficients.
show_mgcv <- function(fit) function(p) {
  f <- fit(p, p$y[, 1])
  at <- function(t) predict(f, data.frame(x = t), type = "lpmatrix")
  basis <- at(p$points)
  step <- STEP * diff(range(p$x))
  slopes <- (at(p$points + step) - at(p$points - step)) / (2 * step)
  se <- function(m) sqrt(pmax(rowSums((m %*% vcov(f)) * m), 0))
  set.seed(1)
  deviations <- abs(basis %*% t(rmvn(DRAWS, rep(0, ncol(basis)), vcov(f)))) / se(basis)
  critical <- quantile(apply(deviations, 2, max), 0.95)
  rest <- length(p$x) - sum(f$edf)
  c(
    basis %*% coef(f), slopes %*% coef(f), Z * se(basis), critical * se(basis), Z * se(slopes),
    qt(0.975, rest) * sqrt(se(basis)^2 + f$sig2)
  )
}

take_r <- function(...) function(p, y) predict(r_spline(p, y, ...), p$points)
take_mgcv <- function(fit) function(p, y) predict(fit(p, y), data.frame(x = p$points), se.fit = TRUE)

SHOW <- list(
  R = show_r(at_lam), "R-gcv" = show_r(r_spline), mgcv = show_mgcv(full),
  "mgcv-gcv" = show_mgcv(usual(40, "GCV.Cp")), "mgcv-reml" = show_mgcv(usual(10, "REML"))
)
TAKE <- list(
  R = take_r(), "R-all" = take_r(all.knots = TRUE), mgcv = take_mgcv(usual(10, "GCV.Cp")),
  "mgcv-40" = take_mgcv(usual(40, "GCV.Cp"))
)

answer <- function(verb, program, columns = "1") {
  if (verb == "version") {
    return(as.character(if (program == "R") getRversion() else packageVersion(program)))
  }
  p <- read_problem()
  if (verb == "show") {
    writeBin(as.double(SHOW[[program]](p)), file.path(folder, "shown"))
    return("ok")
  }
  start <- Sys.time()
  for (j in seq_len(as.integer(columns))) TAKE[[program]](p, p$y[, j])
  format(as.double(Sys.time() - start, units = "secs"), digits = 17)
}

input <- file("stdin", "r")
while (length(line <- readLines(input, 1))) {
  words <- strsplit(line, " ")[[1]]
  said <- tryCatch(do.call(answer, as.list(words)), error = conditionMessage)
  cat(gsub("\n", " ", said), "\n", sep = "")
  flush(stdout())
}
